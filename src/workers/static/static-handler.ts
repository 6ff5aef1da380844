/**
 * Serves the files below a folder.
 *
 * Role: from a request to the one call that answers it; the parts know paths, conditions, ranges,
 * codings and files.
 * Thread: a worker. Looking files up and reading small ones blocks it, which is what a worker is for.
 * May not: serve anything that is not below the folder once all symbolic links are followed, nor
 * anything whose name begins with a dot, but `/.well-known/`.
 */
import type { Exchange, Handler } from '../exchange.ts';
import { findField } from '../fetch/fields.ts';
import { evaluate, rangeIsCurrent } from './conditional.ts';
import { qualitiesOf } from './encoding.ts';
import { FileCache } from './file-cache.ts';
import { Folder } from './folder.ts';
import { LISTING_HEADERS, renderListing } from './listing.ts';
import { type Descriptors, joined, layOut, sendParts } from './multipart.ts';
import { folderLocation, parseTarget } from './path.ts';
import { contentRange, parseRange } from './range.ts';
import { MESSAGES, refuse, statusOf, TEXT } from './refusal.ts';
import { type Representation, StaleFile } from './representation.ts';
import { type Detour, lookUp, Resource } from './resource.ts';

export interface StaticOptions {
  readonly descriptors: Descriptors;
  /** Folders without an index file are listed. */
  readonly indexes: boolean;
  /** Descriptors of files that may be kept open between requests. */
  readonly maxOpenFiles: number;
}

export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number;
  /** Milliseconds of a clock that nobody sets. */
  elapsed(): number;
}

const SYSTEM_CLOCK: Clock = { now: () => Date.now(), elapsed: () => performance.now() };
const ALLOW = Object.freeze(['Allow', 'GET, HEAD, OPTIONS']);
const METHOD_NOT_ALLOWED = Object.freeze([...ALLOW, ...TEXT]);
/** A file that changes while it is looked at is looked at again, this often at most. */
const MAX_ATTEMPTS = 3;

export class StaticHandler implements Handler {
  readonly kind = 'static';
  readonly #folder: Folder;
  readonly #cache: FileCache;
  readonly #descriptors: Descriptors;
  readonly #indexes: boolean;
  readonly #clock: Clock;

  /**
   * @param root path of the folder
   * @throws the file system's error where it does not exist
   */
  constructor(root: string, options: StaticOptions, clock = SYSTEM_CLOCK) {
    this.#clock = clock;
    this.#folder = new Folder(root);
    this.#cache = new FileCache(options.maxOpenFiles);
    this.#descriptors = options.descriptors;
    this.#indexes = options.indexes;
  }

  /** Nothing goes on after the responses; what is kept open is closed. */
  settled(): Promise<void> {
    this.#cache.clear();
    return Promise.resolve();
  }

  handle(exchange: Exchange): void {
    const { method, target } = exchange;
    if (method !== 'GET' && method !== 'HEAD') {
      if (method === 'OPTIONS') exchange.respond(204, '', ALLOW, null);
      else exchange.respond(405, '', METHOD_NOT_ALLOWED, MESSAGES[405]);
      return;
    }
    const mark = target.indexOf('?');
    const key = mark < 0 ? target : target.slice(0, mark);
    for (let attempt = 1; ; attempt++) {
      try {
        this.#serve(exchange, key);
        return;
      } catch (error) {
        this.#cache.forget(key);
        const status = exchange.headersSent ? 0 : statusOf(error);
        if (status === 0) {
          exchange.fail(error);
          return;
        }
        // Descriptors ran out: those kept for later are more use now.
        if (status === 503 && !(error instanceof StaleFile)) this.#cache.clear();
        if (status === 503 && attempt < MAX_ATTEMPTS) continue;
        refuse(exchange, status);
        return;
      }
    }
  }

  #serve(exchange: Exchange, key: string): void {
    const resource = this.#cache.find(key, this.#clock.elapsed()) ?? this.#look(exchange, key);
    if (resource !== null) this.#answer(exchange, resource);
  }

  /** Asks the file system; null where that is answered already. */
  #look(exchange: Exchange, key: string): Resource | null {
    const path = parseTarget(exchange.target);
    if (typeof path === 'number') {
      refuse(exchange, path);
      return null;
    }
    const found = lookUp(this.#folder, path, this.#clock.now());
    if (found instanceof Resource) return this.#cache.renew(key, found, this.#clock.elapsed());
    this.#cache.forget(key);
    const detour: Detour = found;
    if (detour.kind === 'redirect') {
      exchange.respond(301, '', ['Location', folderLocation(path), ...TEXT], MESSAGES[301]);
    } else if (detour.kind === 'folder' && this.#indexes) {
      const page = renderListing(this.#folder, path, detour.realPath);
      exchange.respond(200, '', LISTING_HEADERS, page);
    } else {
      refuse(exchange, 404);
    }
    return null;
  }

  #answer(exchange: Exchange, resource: Resource): void {
    const { head, table } = exchange;
    const representation =
      resource.encoded.length === 0
        ? resource.identity
        : resource.choose(qualitiesOf(findField(head, table, 'accept-encoding')));
    const status = this.#precondition(exchange, representation);
    if (status === 304) {
      exchange.respond(304, '', representation.notModifiedHeaders, null);
    } else if (status !== 0) {
      refuse(exchange, status);
    } else {
      this.#cache.load(resource, representation, this.#folder);
      if (!this.#answerRange(exchange, representation)) this.#answerWhole(exchange, representation);
    }
  }

  #precondition(exchange: Exchange, { validators }: Representation): 0 | 304 | 412 {
    const { head, table } = exchange;
    const ifMatch = findField(head, table, 'if-match');
    const ifNoneMatch = findField(head, table, 'if-none-match');
    const ifModifiedSince = findField(head, table, 'if-modified-since');
    const ifUnmodifiedSince = findField(head, table, 'if-unmodified-since');
    if ((ifMatch ?? ifNoneMatch ?? ifModifiedSince ?? ifUnmodifiedSince) === null) return 0;
    return evaluate(
      { ifMatch, ifNoneMatch, ifModifiedSince, ifUnmodifiedSince },
      validators,
      this.#clock.now(),
    );
  }

  #answerWhole(exchange: Exchange, representation: Representation): void {
    const { wholeHeaders, bytes, size } = representation;
    if (bytes !== null) {
      exchange.respond(200, '', wholeHeaders, bytes);
    } else if (exchange.method === 'HEAD') {
      exchange.start(200, '', wholeHeaders, size);
      exchange.end();
    } else {
      exchange.respondFile(200, '', wholeHeaders, this.#duplicate(representation), 0, size);
    }
  }

  /** False: the whole is to be sent. RFC 9110, section 14.2: ranges are for GET alone. */
  #answerRange(exchange: Exchange, representation: Representation): boolean {
    const { head, table } = exchange;
    const field = findField(head, table, 'range');
    if (field === null || exchange.method !== 'GET') return false;
    const { size, bytes, contentType, partHeaders, validators } = representation;
    const ifRange = findField(head, table, 'if-range');
    if (ifRange !== null && !rangeIsCurrent(ifRange, validators, this.#clock.now())) return false;
    const ranges = parseRange(field, size);
    if (ranges === null) return false;
    if (ranges.length === 0) {
      exchange.respond(416, '', ['Content-Range', `bytes */${size}`, ...TEXT], MESSAGES[416]);
      return true;
    }
    if (ranges.length === 1) {
      const { offset, length } = ranges[0];
      const range = contentRange(ranges[0], size);
      const headers = ['Content-Type', contentType, ...partHeaders, 'Content-Range', range];
      if (bytes !== null) {
        exchange.respond(206, '', headers, bytes.subarray(offset, offset + length));
      } else {
        exchange.respondFile(206, '', headers, this.#duplicate(representation), offset, length);
      }
      return true;
    }
    const multipart = layOut(ranges, size, contentType);
    const headers = ['Content-Type', multipart.contentType, ...partHeaders];
    if (bytes !== null) {
      exchange.respond(206, '', headers, joined(multipart, bytes));
    } else {
      const fd = this.#duplicate(representation);
      exchange.start(206, '', headers, multipart.length);
      sendParts(exchange, multipart, this.#descriptors, fd);
    }
    return true;
  }

  /** A descriptor for a response to keep, since the cache may close its own at any time. */
  #duplicate({ fd }: Representation): number {
    const copy = this.#descriptors.duplicate(fd);
    if (copy >= 0) return copy;
    throw Object.assign(new Error(`dup: errno ${-copy}`), { code: 'EMFILE' });
  }
}
