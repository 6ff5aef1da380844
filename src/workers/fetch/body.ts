/**
 * Body bytes: decoding, collecting and wrapping them as streams.
 *
 * Role: what `Request` and `Response` share about bodies.
 * Thread: a worker.
 * May not: hold on to a chunk it was lent; what outlives a call is copied.
 */
import { Readable } from 'node:stream';

/** Anything that yields chunks over time. */
export type ChunkSource = ReadableStream<Uint8Array> | AsyncIterable<Uint8Array | string>;

/** The runtime's own class; kept because `installGlobals` replaces the global one. */
export const NativeResponse = globalThis.Response;

const encoder = new TextEncoder();

/** Up to this much is set aside for a declared length before a byte of it has come. */
const MAX_TRUSTED_LENGTH = 1 << 20;
const MIN_CAPACITY = 4096;
/** Has no UTF-8 form. */
const LONE_SURROGATE = /\p{Surrogate}/gu;

/** The error of reading a body twice (Fetch, "unusable"). */
export function unusable(): TypeError {
  return new TypeError('Body is unusable: Body has already been read');
}

/** Whether a stream was read from or cancelled already. */
export function isDisturbed(stream: ReadableStream): boolean {
  return Readable.isDisturbed(stream as unknown as Readable);
}

/** UTF-8 text without a byte order mark (Encoding, "UTF-8 decode"); malformed bytes become U+FFFD. */
export function decodeText(bytes: Uint8Array): string {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
  return text.charCodeAt(0) === 0xfeff ? text.slice(1) : text;
}

/** What decoding the UTF-8 form of a string would give. */
export function decodedText(body: string): string {
  const text = body.replace(LONE_SURROGATE, '\ufffd');
  return text.charCodeAt(0) === 0xfeff ? text.slice(1) : text;
}

/** A whole body with its content type, read by the runtime's own Response. */
function nativeOf(bytes: Uint8Array, type: string | null): globalThis.Response {
  const headers: [string, string][] = type === null ? [] : [['content-type', type]];
  return new NativeResponse(bytes, { headers });
}

/** A body as a Blob; its type is serialised (MIME Sniffing, section 4.5). */
export function blobOf(bytes: Uint8Array, type: string | null): Promise<Blob> {
  return nativeOf(bytes, type).blob();
}

/**
 * A body as a form.
 * @param type Content-Type: multipart/form-data or application/x-www-form-urlencoded
 * @throws TypeError for another type, or a body that does not parse
 */
export function formDataOf(bytes: Uint8Array, type: string | null): Promise<FormData> {
  return nativeOf(bytes, type).formData();
}

/** A copy in an ArrayBuffer of exactly its size, also from shared memory. */
export function copyOf(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return new Uint8Array(bytes);
}

/** UTF-8 bytes in an ArrayBuffer of exactly their size. */
export function encodeText(text: string): Uint8Array<ArrayBuffer> {
  const bytes = encoder.encode(text) as Uint8Array<ArrayBuffer>;
  return bytes.byteLength === bytes.buffer.byteLength ? bytes : copyOf(bytes);
}

/**
 * A chunk as bytes; a string as UTF-8.
 * @throws TypeError for anything else (Fetch, "incrementally read" allows Uint8Array only)
 */
export function chunkBytes(chunk: unknown): Uint8Array {
  if (chunk instanceof Uint8Array) return chunk;
  if (typeof chunk === 'string') return encodeText(chunk);
  throw new TypeError('A body stream has to yield Uint8Array or string chunks');
}

/** Collects chunks into one array; copies each as it comes, so a chunk may be a loan. */
export class Collector {
  #bytes: Uint8Array<ArrayBuffer>;
  #length = 0;

  /** @param declared the expected number of bytes, -1 where unknown */
  constructor(declared: number) {
    const capacity = declared < 0 ? MIN_CAPACITY : Math.min(declared, MAX_TRUSTED_LENGTH);
    this.#bytes = new Uint8Array(capacity);
  }

  add(chunk: Uint8Array): void {
    const length = this.#length + chunk.byteLength;
    if (length > this.#bytes.byteLength) {
      const grown = new Uint8Array(Math.max(length, this.#bytes.byteLength * 2, MIN_CAPACITY));
      grown.set(this.#bytes.subarray(0, this.#length));
      this.#bytes = grown;
    }
    this.#bytes.set(chunk, this.#length);
    this.#length = length;
  }

  /** All of it, in a buffer of exactly its size. */
  take(): Uint8Array<ArrayBuffer> {
    const { buffer } = this.#bytes;
    return this.#length === buffer.byteLength
      ? this.#bytes
      : new Uint8Array(buffer.slice(0, this.#length));
  }
}

/** Reads a source to its end. */
export async function collect(source: ChunkSource): Promise<Uint8Array<ArrayBuffer>> {
  const collector = new Collector(-1);
  for await (const chunk of source as AsyncIterable<Uint8Array | string>) {
    collector.add(chunkBytes(chunk));
  }
  return collector.take();
}

/**
 * Tells the producer of a body that nobody wants more; never throws.
 *
 * A Readable is destroyed: the `return` of its iterator would wait behind a read that is under way,
 * which may take for ever. So would that of an async generator, which cannot be stopped between two
 * yields (ECMAScript, AsyncGeneratorResumeNext); other iterators hear of it at once.
 * @param iterator null: the iteration was not begun
 */
export function stopIteration(
  source: AsyncIterable<unknown>,
  iterator: AsyncIterator<unknown> | null,
): void {
  try {
    if (isNodeStream(source)) {
      // Opening it may still fail, and nobody else listens any more.
      source.on('error', ignore);
      source.destroy();
      return;
    }
    const done = (iterator ?? source[Symbol.asyncIterator]()).return?.();
    if (done !== undefined) Promise.resolve(done).catch(ignore);
  } catch {
    // It was told.
  }
}

const ignore = (): void => {};

/** Also one of a package of its own (readable-stream). */
function isNodeStream(source: object): source is Readable {
  const { pipe, on, destroy } = source as Partial<Readable>;
  return [pipe, on, destroy].every((member) => typeof member === 'function');
}

/** What is known of a stream this module made, so that it need not be read chunk by chunk. */
interface KnownBody {
  bytes: Uint8Array | string | null;
}

const knownBodies = new WeakMap<ReadableStream, KnownBody>();

/**
 * A stream over a body that is there already. `knownBytes` gives the body back while nobody has
 * touched the stream, which is how `new Response(other.body, other)` keeps its fast path.
 */
export function streamOfBytes(body: Uint8Array | string): ReadableStream<Uint8Array> {
  const known: KnownBody = { bytes: body };
  const stream: ReadableStream<Uint8Array> = new ReadableStream(
    {
      type: 'bytes',
      pull(controller) {
        const { bytes } = known;
        known.bytes = null;
        // Enqueueing hands the ArrayBuffer over, so it has to be one of our own.
        if (bytes !== null && bytes.length > 0) {
          controller.enqueue(typeof bytes === 'string' ? encodeText(bytes) : copyOf(bytes));
        }
        controller.close();
        controller.byobRequest?.respond(0);
      },
      cancel() {
        known.bytes = null;
      },
    },
    { highWaterMark: 0 },
  );
  knownBodies.set(stream, known);
  return stream;
}

/** The whole body of an untouched stream made by `streamOfBytes`, otherwise null. */
export function knownBytes(stream: ReadableStream): Uint8Array | string | null {
  const known = knownBodies.get(stream);
  return known === undefined || stream.locked || isDisturbed(stream) ? null : known.bytes;
}

/** A stream that counts as read, for a body that was consumed without ever becoming a stream. */
export function spentStream(): ReadableStream<Uint8Array> {
  const stream = new ReadableStream<Uint8Array>({ start: (controller) => controller.close() });
  void stream.cancel();
  return stream;
}
