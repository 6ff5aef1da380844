/**
 * What each connection's present or last request is: request line, Host, status, times.
 *
 * Role: writes and reads the records of `REQUEST`. Bytes are copied as they came, four at a time; no
 * string is made on the way of a request.
 * Thread: the connection's owner writes, any thread reads.
 *
 * A record has a sequence of its own, since its owner writes while the state word stands still: odd
 * while it is being written. A thread that dies over it leaves it odd, so it is unreadable until the
 * connection's next request.
 */
import { elapsedTicks } from './clock.ts';
import { type Field, REQUEST, REQUEST_BYTES } from './layout.ts';

/** One request as the status page shows it. */
export interface RequestRow {
  /** As received, latin1; '' where it was refused before one could be told. */
  readonly method: string;
  /** The beginning of the request-target as received, latin1: with its query, not decoded. */
  readonly target: string;
  /** Length of the whole target; more than `target` has where that is cut. */
  readonly targetBytes: number;
  /** The beginning of the Host field, latin1; '' without one. */
  readonly host: string;
  /** Length of the whole field. */
  readonly hostBytes: number;
  readonly minorVersion: 0 | 1;
  /** Its last byte has not left yet. */
  readonly active: boolean;
  /** Status of its response; 0 while active. */
  readonly status: number;
  /** From the call of its handler to the last byte, milliseconds; 0 while active. */
  readonly durationMs: number;
  /** Since its handler was called, milliseconds. */
  readonly ageMs: number;
}

/** Where a request stands in the connection buffers: absolute offsets and lengths in bytes. */
export interface RequestPlace {
  readonly lineStart: number;
  readonly methodBytes: number;
  readonly targetBytes: number;
  /** Anywhere where `hostBytes` is 0. */
  readonly hostStart: number;
  readonly hostBytes: number;
  readonly minorVersion: 0 | 1;
}

const HOST_BYTES = REQUEST.host.count;
const TEXT_BYTES = REQUEST.text.count;
/** The outcome is one double, so that it is stored at once: microseconds * STATUSES + status + 1. */
const STATUSES = 1024;
const MAX_STATUS = 999;
/** Copies of a record that are tried; one takes well under a microsecond. */
const TRIES = 16;

const word = ({ offset }: Field): number => offset >> 2;

export class RequestRecords {
  readonly #words: Int32Array;
  readonly #doubles: Float64Array;
  readonly #patterns: BigInt64Array;
  readonly #bytes: Uint8Array;

  /** @param at where the records begin */
  constructor(memory: SharedArrayBuffer, at: number, connectionSlots: number) {
    const length = connectionSlots * REQUEST_BYTES;
    this.#words = new Int32Array(memory, at, length >> 2);
    this.#doubles = new Float64Array(memory, at, length >> 3);
    this.#patterns = new BigInt64Array(memory, at, length >> 3);
    this.#bytes = new Uint8Array(memory, at, length);
  }

  /**
   * A request begins; the connection's owner only.
   * @param source the connection buffers, in which at least three bytes follow the target and the host
   *   (their line ends)
   */
  begin(
    slot: number,
    incarnation: number,
    ticks: number,
    source: DataView,
    place: RequestPlace,
  ): void {
    const words = this.#words;
    const at = (slot * REQUEST_BYTES) >> 2;
    const { lineStart, methodBytes, targetBytes, hostStart, hostBytes } = place;
    const sequence = this.#open(at, incarnation, ticks);
    words[at + word(REQUEST.methodBytes)] = methodBytes;
    words[at + word(REQUEST.targetBytes)] = targetBytes;
    words[at + word(REQUEST.hostBytes)] = hostBytes;
    words[at + word(REQUEST.minorVersion)] = place.minorVersion;
    const hostAt = at + word(REQUEST.host);
    const hostLength = Math.min(hostBytes, HOST_BYTES);
    for (let from = 0; from < hostLength; from += 4) {
      words[hostAt + (from >> 2)] = source.getInt32(hostStart + from, true);
    }
    const textAt = at + word(REQUEST.text);
    const textLength = Math.min(methodBytes + 1 + targetBytes, TEXT_BYTES);
    for (let from = 0; from < textLength; from += 4) {
      words[textAt + (from >> 2)] = source.getInt32(lineStart + from, true);
    }
    Atomics.store(words, at, sequence + 1);
  }

  /** The same of one that was refused, with as much of its first line as could be read. */
  beginRefused(
    slot: number,
    incarnation: number,
    ticks: number,
    method: string,
    target: string,
    minorVersion: 0 | 1,
  ): void {
    const words = this.#words;
    const at = (slot * REQUEST_BYTES) >> 2;
    const sequence = this.#open(at, incarnation, ticks);
    words[at + word(REQUEST.methodBytes)] = method.length;
    words[at + word(REQUEST.targetBytes)] = target.length;
    words[at + word(REQUEST.hostBytes)] = 0;
    words[at + word(REQUEST.minorVersion)] = minorVersion;
    const text = `${method} ${target}`;
    const textAt = at * 4 + REQUEST.text.offset;
    const length = Math.min(text.length, TEXT_BYTES);
    for (let index = 0; index < length; index++)
      this.#bytes[textAt + index] = text.charCodeAt(index);
    Atomics.store(words, at, sequence + 1);
  }

  /** Begins to write; returns the odd sequence. */
  #open(at: number, incarnation: number, ticks: number): number {
    const words = this.#words;
    const sequence = ((words[at] as number) + 1) | 1;
    // Reads and writes at once: no plain store below passes it.
    Atomics.exchange(words, at, sequence);
    words[at + word(REQUEST.connection)] = incarnation + 1;
    words[at + word(REQUEST.beganTicks)] = ticks;
    this.#doubles[(at + word(REQUEST.outcome)) >> 1] = 0;
    return sequence;
  }

  /** Its last byte has left; the connection's owner only. */
  end(slot: number, status: number, durationMs: number): void {
    const at = (slot * REQUEST_BYTES + REQUEST.outcome.offset) >> 3;
    const microseconds = Math.max(0, Math.round(durationMs * 1000));
    this.#doubles[at] = microseconds * STATUSES + Math.min(status, MAX_STATUS) + 1;
  }

  /**
   * The present or last request of a connection; null where it has none yet, or it was being written
   * all the time.
   */
  read(slot: number, incarnation: number, nowTicks: number): RequestRow | null {
    const words = this.#words;
    const at = (slot * REQUEST_BYTES) >> 2;
    for (let tries = 0; tries < TRIES; tries++) {
      const sequence = Atomics.load(words, at);
      if ((sequence & 1) !== 0) continue;
      if (Atomics.load(words, at + word(REQUEST.connection)) !== incarnation + 1) return null;
      const row = this.#copy(at, nowTicks);
      if (Atomics.load(words, at) === sequence) return row;
    }
    return null;
  }

  #copy(at: number, nowTicks: number): RequestRow {
    const load = (field: Field) => Atomics.load(this.#words, at + word(field));
    pattern[0] = Atomics.load(this.#patterns, (at + word(REQUEST.outcome)) >> 1);
    const outcome = patternAsDouble[0] as number;
    const methodBytes = load(REQUEST.methodBytes);
    const targetBytes = load(REQUEST.targetBytes);
    const hostBytes = load(REQUEST.hostBytes);
    const length = Math.min(methodBytes + 1 + targetBytes, TEXT_BYTES);
    const text = this.#text(at + word(REQUEST.text), length);
    const microseconds = Math.floor(outcome / STATUSES);
    return {
      method: text.slice(0, methodBytes),
      target: text.slice(methodBytes + 1),
      targetBytes,
      host: this.#text(at + word(REQUEST.host), Math.min(hostBytes, HOST_BYTES)),
      hostBytes,
      minorVersion: load(REQUEST.minorVersion) === 0 ? 0 : 1,
      active: outcome === 0,
      status: outcome === 0 ? 0 : outcome - microseconds * STATUSES - 1,
      durationMs: microseconds / 1000,
      ageMs: Math.max(0, elapsedTicks(load(REQUEST.beganTicks), nowTicks)),
    };
  }

  #text(at: number, length: number): string {
    for (let index = 0; index < (length + 3) >> 2; index++) {
      scratch[index] = Atomics.load(this.#words, at + index);
    }
    return scratchBytes.latin1Slice(0, length);
  }
}

const pattern = new BigInt64Array(1);
const patternAsDouble = new Float64Array(pattern.buffer);
const scratch = new Int32Array(TEXT_BYTES >> 2);
const scratchBytes = Buffer.from(scratch.buffer) as Buffer & {
  latin1Slice(start: number, end: number): string;
};
