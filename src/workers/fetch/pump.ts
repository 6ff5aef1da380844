/**
 * A body that comes in pieces, from its producer to the exchange.
 *
 * Role: sends a body that is there already in one piece, with its length, and any other as it comes, no
 * faster than the peer takes it; tells the producer when nobody wants more.
 * Thread: a worker.
 * May not: use an exchange whose serial has moved on; every step after a wait checks first.
 */
import type { AbortReason, Exchange } from '../exchange.ts';
import { type ChunkSource, chunkBytes, stopIteration } from './body.ts';
import type { FlatHeaders } from './headers.ts';
import { abortRequest, type ExchangeRequest } from './request.ts';

/**
 * How many microtask turns a stream gets to show its first chunk and its end before the head goes
 * out without a length. A native Response made from a string needs 6 on Node 20.
 */
const PATIENCE = 12;

interface ChunkResult {
  readonly done?: boolean | undefined;
  readonly value?: unknown;
}

interface Chunks {
  next(): Promise<ChunkResult>;
  /** Stops the producer; never rejects. */
  cancel(reason: unknown): void;
}

const ignore = (): void => {};

export function isGone(exchange: Exchange, serial: number): boolean {
  return exchange.serial !== serial || exchange.ended;
}

export function chunksOf(source: ChunkSource): Chunks {
  if (source instanceof ReadableStream) {
    const reader = source.getReader();
    return {
      next: () => reader.read(),
      cancel: (reason) => void reader.cancel(reason).catch(ignore),
    };
  }
  const iterator = source[Symbol.asyncIterator]();
  return {
    next: async () => iterator.next(),
    cancel: () => stopIteration(source, iterator),
  };
}

/** What became of a piece of a body. */
type Step = 'ended' | 'taken' | 'full';

/**
 * Moves one body from its producer to the exchange, no faster than the peer takes it. No piece is
 * named across a wait: it would stay in memory for as long as the client is slow.
 */
export class Pump {
  readonly #exchange: Exchange;
  readonly #serial: number;
  readonly #chunks: Chunks;
  #stopped = false;
  #sentBytes = 0;
  /** Content-Length, -1 where unknown. */
  readonly #declared: number;
  /** A piece that was asked for already. */
  #peeked: Promise<ChunkResult> | null = null;
  #wake: (() => void) | null = null;

  constructor(exchange: Exchange, request: ExchangeRequest, chunks: Chunks, declared: number) {
    this.#declared = declared;
    this.#exchange = exchange;
    this.#serial = exchange.serial;
    this.#chunks = chunks;
    exchange.onAbort = (reason) => {
      abortRequest(request, reason);
      this.#stop(reason);
    };
  }

  #stop(reason: AbortReason): void {
    this.#stopped = true;
    this.#chunks.cancel(new DOMException(`The response was aborted: ${reason}`, 'AbortError'));
    this.#wake?.();
  }

  #isGone(): boolean {
    return this.#stopped || isGone(this.#exchange, this.#serial);
  }

  run(status: number, statusText: string, list: FlatHeaders): void {
    const exchange = this.#exchange;
    if (exchange.method === 'HEAD') {
      exchange.start(status, statusText, list, this.#declared);
      exchange.end();
      this.#chunks.cancel(new DOMException('HEAD needs no body', 'AbortError'));
      return;
    }
    this.#send(status, statusText, list).catch((error) => {
      if (this.#isGone()) return;
      this.#chunks.cancel(error);
      exchange.fail(error);
    });
  }

  async #send(status: number, statusText: string, list: FlatHeaders): Promise<void> {
    const exchange = this.#exchange;
    const declared = this.#declared;
    // A body that is there already leaves in one piece, with its length; one that is not does not
    // hold the head back (an event stream may be silent for minutes).
    const first = new Peek(this.#chunks.next());
    await first.wait();
    if (first.settled && !first.done) {
      const chunk = chunkBytes(await first.value());
      const next = new Peek(this.#chunks.next());
      await next.wait();
      if (this.#isGone()) return;
      if (next.done && (declared < 0 || declared === chunk.byteLength)) {
        exchange.respond(status, statusText, list, chunk);
        return;
      }
      exchange.start(status, statusText, list, declared);
      this.#peeked = next.result();
      return this.#rest(this.#put(chunk));
    }
    if (first.failed) await first.value();
    if (this.#isGone()) return;
    if (first.done && declared <= 0) {
      exchange.respond(status, statusText, list, '');
      return;
    }
    exchange.start(status, statusText, list, declared);
    this.#peeked = first.result();
    return this.#rest('taken');
  }

  async #rest(begun: Step): Promise<void> {
    for (let step = begun; step !== 'ended'; step = this.#take(await this.#next())) {
      if (step === 'full') await this.#drained();
      if (this.#isGone()) return;
    }
  }

  #next(): Promise<ChunkResult> {
    const peeked = this.#peeked;
    this.#peeked = null;
    return peeked ?? this.#chunks.next();
  }

  #take({ done, value }: ChunkResult): Step {
    if (this.#isGone()) return 'ended';
    if (done !== true) return this.#put(chunkBytes(value));
    const declared = this.#declared;
    if (declared >= 0 && this.#sentBytes !== declared) throw lengthMismatch(declared);
    this.#exchange.end();
    return 'ended';
  }

  #put(chunk: Uint8Array): Step {
    const length = chunk.byteLength;
    this.#sentBytes += length;
    // More or fewer bytes than declared would be read as the next response (RFC 9112, section 6.3).
    if (this.#declared >= 0 && this.#sentBytes > this.#declared) {
      throw lengthMismatch(this.#declared);
    }
    // An empty chunk would be the last one of a chunked body.
    return length === 0 || this.#exchange.write(chunk) ? 'taken' : 'full';
  }

  async #drained(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      this.#exchange.onDrain = resolve;
    });
    this.#wake = null;
  }
}

function lengthMismatch(declared: number): RangeError {
  return new RangeError(`The body does not have the ${declared} bytes its Content-Length declares`);
}

/** One pending chunk that can be looked at without waiting for it. */
class Peek {
  settled = false;
  failed = false;
  done = false;
  readonly #promise: Promise<ChunkResult>;

  constructor(promise: Promise<ChunkResult>) {
    this.#promise = promise;
    promise.then(
      (result) => {
        this.settled = true;
        this.done = result.done === true;
      },
      () => {
        this.failed = true;
      },
    );
  }

  async wait(): Promise<void> {
    for (let turn = 0; turn < PATIENCE && !this.settled && !this.failed; turn++) await null;
  }

  result(): Promise<ChunkResult> {
    return this.#promise;
  }

  async value(): Promise<unknown> {
    return (await this.#promise).value;
  }
}
