/**
 * What each connection's present or last request is: request line, Host, status, times.
 *
 * Role: writes and reads the records of `REQUEST`. Bytes are copied as they came, four at a time; no
 * string is made on the way of a request. What is longer than the first half of a record has room for
 * goes on in the second, which is another page: most requests leave it untouched.
 * Thread: the connection's owner writes, any thread reads.
 *
 * A record has a sequence of its own, since its owner writes while the state word stands still: odd
 * while it is being written. A thread that dies over it leaves it odd, so it is unreadable until the
 * connection's next request.
 */
import { elapsedTicks } from './clock.ts';
import { recordAt, recordsBytes } from './halves.ts';
import { type Field, REQUEST } from './layout.ts';

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
const HOST_MORE_BYTES = REQUEST.hostMore.count;
const TEXT_BYTES = REQUEST.text.count;
const TEXT_MORE_BYTES = REQUEST.textMore.count;
/** Bytes kept of a Host field, and of method, space and request-target. */
export const HOST_KEPT_BYTES = HOST_BYTES + HOST_MORE_BYTES;
export const TEXT_KEPT_BYTES = TEXT_BYTES + TEXT_MORE_BYTES;
/** The outcome is one double, so that it is stored at once: microseconds * STATUSES + status + 1. */
const STATUSES = 1024;
const MAX_STATUS = 999;
/** Copies of a record that are tried; one takes well under a microsecond. */
const TRIES = 16;

const word = ({ offset }: Field): number => offset >> 2;
/** Index of the first word of a slot's record. */
const wordAt = (slot: number): number => recordAt(slot) >> 2;

export class RequestRecords {
  readonly #words: Int32Array;
  readonly #doubles: Float64Array;
  readonly #patterns: BigInt64Array;
  readonly #bytes: Uint8Array;

  /** @param at where the records begin */
  constructor(memory: SharedArrayBuffer, at: number, connectionSlots: number) {
    const length = recordsBytes(connectionSlots);
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
    const at = wordAt(slot);
    const { lineStart, methodBytes, targetBytes, hostStart, hostBytes } = place;
    const sequence = this.#open(at, incarnation, ticks);
    words[at + word(REQUEST.methodAndVersion)] = methodBytes * 2 + place.minorVersion;
    words[at + word(REQUEST.targetBytes)] = targetBytes;
    words[at + word(REQUEST.hostBytes)] = hostBytes;
    const hostAt = at + word(REQUEST.host);
    const hostLength = Math.min(hostBytes, HOST_BYTES);
    for (let from = 0; from < hostLength; from += 4) {
      words[hostAt + (from >> 2)] = source.getInt32(hostStart + from, true);
    }
    const textAt = at + word(REQUEST.text);
    const lineBytes = methodBytes + 1 + targetBytes;
    const textLength = Math.min(lineBytes, TEXT_BYTES);
    for (let from = 0; from < textLength; from += 4) {
      words[textAt + (from >> 2)] = source.getInt32(lineStart + from, true);
    }
    if (hostBytes > HOST_BYTES) {
      const moreAt = at + word(REQUEST.hostMore);
      const more = Math.min(hostBytes - HOST_BYTES, HOST_MORE_BYTES);
      this.#copyMore(moreAt, source, hostStart + HOST_BYTES, more);
    }
    if (lineBytes > TEXT_BYTES) {
      const moreAt = at + word(REQUEST.textMore);
      const more = Math.min(lineBytes - TEXT_BYTES, TEXT_MORE_BYTES);
      this.#copyMore(moreAt, source, lineStart + TEXT_BYTES, more);
    }
    Atomics.store(words, at, sequence + 1);
  }

  /** Into the second half. */
  #copyMore(at: number, source: DataView, start: number, length: number): void {
    for (let from = 0; from < length; from += 4) {
      this.#words[at + (from >> 2)] = source.getInt32(start + from, true);
    }
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
    const at = wordAt(slot);
    const sequence = this.#open(at, incarnation, ticks);
    words[at + word(REQUEST.methodAndVersion)] = method.length * 2 + minorVersion;
    words[at + word(REQUEST.targetBytes)] = target.length;
    words[at + word(REQUEST.hostBytes)] = 0;
    const text = `${method} ${target}`;
    const length = Math.min(text.length, TEXT_KEPT_BYTES);
    const first = at * 4 + REQUEST.text.offset;
    const more = at * 4 + REQUEST.textMore.offset - TEXT_BYTES;
    for (let index = 0; index < length; index++) {
      this.#bytes[(index < TEXT_BYTES ? first : more) + index] = text.charCodeAt(index);
    }
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
    const at = (recordAt(slot) + REQUEST.outcome.offset) >> 3;
    const microseconds = Math.max(0, Math.round(durationMs * 1000));
    this.#doubles[at] = microseconds * STATUSES + Math.min(status, MAX_STATUS) + 1;
  }

  /**
   * The present or last request of a connection; null where it has none yet, or it was being written
   * all the time.
   */
  read(slot: number, incarnation: number, nowTicks: number): RequestRow | null {
    const words = this.#words;
    const at = wordAt(slot);
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
    const methodAndVersion = load(REQUEST.methodAndVersion);
    const methodBytes = methodAndVersion >> 1;
    const targetBytes = load(REQUEST.targetBytes);
    const hostBytes = load(REQUEST.hostBytes);
    const text = this.#text(at, methodBytes + 1 + targetBytes, REQUEST.text, REQUEST.textMore);
    const microseconds = Math.floor(outcome / STATUSES);
    return {
      method: text.slice(0, methodBytes),
      target: text.slice(methodBytes + 1),
      targetBytes,
      host: this.#text(at, hostBytes, REQUEST.host, REQUEST.hostMore),
      hostBytes,
      minorVersion: (methodAndVersion & 1) === 0 ? 0 : 1,
      active: outcome === 0,
      status: outcome === 0 ? 0 : outcome - microseconds * STATUSES - 1,
      durationMs: microseconds / 1000,
      ageMs: Math.max(0, elapsedTicks(load(REQUEST.beganTicks), nowTicks)),
    };
  }

  /** As much as was kept of so many bytes. */
  #text(at: number, bytes: number, first: Field, more: Field): string {
    const length = Math.min(bytes, first.count + more.count);
    const inFirst = first.count >> 2;
    for (let index = 0; index < (length + 3) >> 2; index++) {
      const from = index < inFirst ? word(first) + index : word(more) + index - inFirst;
      scratch[index] = Atomics.load(this.#words, at + from);
    }
    return scratchBytes.latin1Slice(0, length);
  }
}

const pattern = new BigInt64Array(1);
const patternAsDouble = new Float64Array(pattern.buffer);
const scratch = new Int32Array(TEXT_KEPT_BYTES >> 2);
const scratchBytes = Buffer.from(scratch.buffer) as Buffer & {
  latin1Slice(start: number, end: number): string;
};
