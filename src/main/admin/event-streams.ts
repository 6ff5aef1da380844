/**
 * Server-sent events (WHATWG HTML, 9.2): each reader gets what changed on its page, once a second.
 *
 * Role: keeps for every reader what its page shows; one look at the scoreboard serves them all.
 * Thread: the admin thread. Everything has a bound: readers, and what one that does not read may have
 * outstanding.
 */
import type { ServerResponse } from 'node:http';
import { statusModel } from './page.ts';
import { type PageModel, pageChange } from './page-diff.ts';
import type { StatusQuery } from './query.ts';
import type { StatusSource } from './status-source.ts';

export const MAX_READERS = 20;
/** A reader with more outstanding than this is left out until it has read; it then gets the difference. */
const MAX_OUTSTANDING_BYTES = 256 * 1024;
/** Of reconnecting, milliseconds. */
const RETRY_MS = 2_000;

interface Reader {
  readonly query: StatusQuery;
  readonly response: ServerResponse;
  shown: PageModel | null;
}

export class EventStreams {
  readonly #source: StatusSource;
  readonly #readers = new Set<Reader>();

  constructor(source: StatusSource) {
    this.#source = source;
  }

  get full(): boolean {
    return this.#readers.size >= MAX_READERS;
  }

  /** The head of the response has been written. */
  add(query: StatusQuery, response: ServerResponse): void {
    const reader: Reader = { query, response, shown: null };
    this.#readers.add(reader);
    response.on('close', () => this.#readers.delete(reader));
    response.write(`retry: ${RETRY_MS}\n\n`);
    this.#send([reader]);
  }

  /** To be called once a second. */
  tick(): void {
    if (this.#readers.size > 0) this.#send(this.#readers);
  }

  #send(readers: Iterable<Reader>): void {
    const moment = this.#source.moment();
    for (const reader of readers) {
      const { query, response } = reader;
      if (response.writableLength > MAX_OUTSTANDING_BYTES) continue;
      const model = statusModel(this.#source.document(query, moment), query);
      const change = pageChange(reader.shown, model);
      reader.shown = model;
      response.write(`data: ${JSON.stringify(change)}\n\n`);
    }
  }
}
