/**
 * Heads that repeat, read once.
 *
 * Role: what was made of the last few heads, found again by their whole text: clients ask several times in
 * the same words, and a response's head is the same for as long as its Date is.
 * Thread: one worker.
 */
import type { Exchange } from '../exchange.ts';
import { parseResponseHead, type ResponseHead } from '../http1/response-parser.ts';
import type { ProxySettings } from './options.ts';
import { type Asked, draftRequest, type RequestDraft, responseFields } from './request-head.ts';

const MAX_CACHED = 8;
/** Longer ones are read each time. */
const MAX_CACHED_BYTES = 4096;

export interface PassedHead {
  readonly head: ResponseHead;
  /** Fields as the client gets them; always the same list, by which the connection knows it again. */
  readonly fields: readonly string[];
}

interface CachedHead extends PassedHead {
  readonly bytes: Buffer;
  readonly isHead: boolean;
}

export class ResponseHeadCache {
  readonly #cached: CachedHead[] = [];

  /** As `parseResponseHead`, with the fields that are passed on. */
  parse(bytes: Buffer, start: number, end: number, method: string): PassedHead | null {
    const isHead = method === 'HEAD';
    for (const cached of this.#cached) {
      const length = cached.bytes.length;
      if (cached.isHead !== isHead || length > end - start) continue;
      if (bytes.compare(cached.bytes, 0, length, start, start + length) === 0) return cached;
    }
    const head = parseResponseHead(bytes, start, end, method);
    if (head === null) return null;
    const passed = { head, fields: responseFields(head.fields, head.connection) };
    // It ends with its empty line, so no longer head begins with the same bytes.
    if (head.bytes <= MAX_CACHED_BYTES && head.status >= 200) {
      if (this.#cached.length === MAX_CACHED) this.#cached.pop();
      const own = Buffer.from(bytes.subarray(start, start + head.bytes));
      this.#cached.unshift({ ...passed, bytes: own, isHead });
    }
    return passed;
  }
}

interface CachedDraft {
  readonly head: string;
  readonly peerAddress: string;
  readonly settings: ProxySettings;
  readonly prefix: string;
  readonly draft: RequestDraft;
}

export class DraftCache {
  readonly #cached: CachedDraft[] = [];

  /**
   * As `draftRequest`.
   * @param ask what else it takes; not asked for where the draft is known
   */
  draft<E extends Pick<Exchange, 'head' | 'peerAddress'>>(
    exchange: E,
    settings: ProxySettings,
    prefix: string,
    ask: (exchange: E) => Asked,
  ): RequestDraft {
    const { head, peerAddress } = exchange;
    for (const cached of this.#cached) {
      if (cached.head !== head || cached.peerAddress !== peerAddress) continue;
      if (cached.settings === settings && cached.prefix === prefix) return cached.draft;
    }
    const asked = ask(exchange);
    const draft = draftRequest(asked, settings, prefix);
    // What a trusted proxy says depends on more than the head.
    if (asked.trustedHeader === null && head.length <= MAX_CACHED_BYTES) {
      if (this.#cached.length === MAX_CACHED) this.#cached.pop();
      this.#cached.unshift({ head, peerAddress, settings, prefix, draft });
    }
    return draft;
  }
}
