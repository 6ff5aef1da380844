/**
 * `Headers`, light: a flat list, or for a request's headers the head itself until somebody asks for more.
 *
 * Role: the class applications see as `Headers`; stands in the native prototype chain.
 * Thread: a worker.
 * May not: read a `FieldTable` whose serial has moved on.
 *
 * Differences from the Fetch standard: no guards (the headers of a redirect may be changed), and an
 * iteration walks a snapshot, so deleting while iterating reaches every field.
 */
import type { FieldTable } from '../exchange.ts';
import { findField, joinValues, normalName, normalValue, rawFields } from './fields.ts';
import { standInFor } from './prototype.ts';
import type { HeadersInit } from './types.ts';

/** The runtime's own class; kept because `installGlobals` replaces the global one. */
export const NativeHeaders = globalThis.Headers;

/** A flat list: lower-case name, value, name, value ... in the order they were added. */
export type FlatHeaders = readonly string[];
type HeadersSource = HeadersInit | LightHeaders;
type Callback = (value: string, name: string, headers: LightHeaders) => void;

const NO_HEADERS: FlatHeaders = Object.freeze([]);
const INSPECT = Symbol.for('nodejs.util.inspect.custom');

/** Wraps a list without copying it; the first change copies. */
export let headersOfList: (list: FlatHeaders) => LightHeaders;
/** The headers of a request, served from its head. */
export let headersOfHead: (head: string, table: FieldTable, tableSerial: number) => LightHeaders;
/** The list behind light headers; not to be changed. */
export let listOfHeaders: (headers: LightHeaders) => FlatHeaders;
/** Whether a value is a `Headers` made by this module. */
export let isLightHeaders: (value: object) => value is LightHeaders;

/** A list of headers as the Fetch standard's `Headers` (https://fetch.spec.whatwg.org/#headers-class). */
export class LightHeaders {
  /** Null while `#head` answers. */
  #list: FlatHeaders | null;
  /** True while the list is somebody else's too. */
  #shared: boolean;
  #head: string;
  #table: FieldTable | null;
  #tableSerial: number;

  static {
    headersOfList = (list) => {
      const headers = new LightHeaders();
      headers.#list = list;
      return headers;
    };
    headersOfHead = (head, table, tableSerial) => {
      const headers = new LightHeaders();
      headers.#list = null;
      headers.#head = head;
      headers.#table = table;
      headers.#tableSerial = tableSerial;
      return headers;
    };
    listOfHeaders = (headers) => {
      // From here on a change has to leave the list that was handed out alone.
      const list = headers.#read();
      headers.#shared = true;
      return list;
    };
    isLightHeaders = (value): value is LightHeaders => #list in value;
  }

  /** @throws TypeError for an invalid name or value, or an init of the wrong shape */
  constructor(init: HeadersSource | undefined = undefined) {
    this.#list = NO_HEADERS;
    this.#shared = true;
    this.#head = '';
    this.#table = null;
    this.#tableSerial = 0;
    if (init !== undefined) {
      this.#list = flatten(init);
      this.#shared = false;
    }
  }

  #read(): FlatHeaders {
    if (this.#list !== null) return this.#list;
    const list = rawFields(this.#head, this.#table!, this.#tableSerial);
    for (let i = 0; i < list.length; i += 2) list[i] = list[i].toLowerCase();
    this.#head = '';
    this.#table = null;
    this.#shared = false;
    this.#list = list;
    return list;
  }

  #change(): string[] {
    const list = this.#read();
    if (this.#shared) {
      this.#list = list.slice();
      this.#shared = false;
    }
    return this.#list as string[];
  }

  /** The value of a field, repeated ones joined by `, `; null where it is absent. */
  get(name: string): string | null {
    const wanted = normalName(name);
    const table = this.#table;
    if (table !== null && table.serial === this.#tableSerial) {
      return findField(this.#head, table, wanted);
    }
    const list = this.#read();
    let found: string | null = null;
    for (let i = 0; i < list.length; i += 2) {
      if (list[i] !== wanted) continue;
      found = found === null ? list[i + 1] : joinValues(wanted, found, list[i + 1]);
    }
    return found;
  }

  has(name: string): boolean {
    return this.get(name) !== null;
  }

  /** Every `Set-Cookie` value by itself, since they cannot be joined (RFC 6265, section 3). */
  getSetCookie(): string[] {
    const list = this.#read();
    const cookies: string[] = [];
    for (let i = 0; i < list.length; i += 2) {
      if (list[i] === 'set-cookie') cookies.push(list[i + 1]);
    }
    return cookies;
  }

  append(name: string, value: string): void {
    // biome-ignore lint/complexity/noArguments: a value of undefined is one, a missing one is not
    if (value === undefined && arguments.length < 2) throw missing('append');
    const normal = normalName(name);
    const checked = normalValue(normal, value);
    this.#change().push(normal, checked);
  }

  set(name: string, value: string): void {
    // biome-ignore lint/complexity/noArguments: as above
    if (value === undefined && arguments.length < 2) throw missing('set');
    const normal = normalName(name);
    const checked = normalValue(normal, value);
    const list = this.#change();
    for (let i = 0; i < list.length; i += 2) {
      if (list[i] !== normal) continue;
      list[i + 1] = checked;
      removeFrom(list, i + 2, normal);
      return;
    }
    list.push(normal, checked);
  }

  delete(name: string): void {
    removeFrom(this.#change(), 0, normalName(name));
  }

  forEach(callback: Callback, thisArg?: unknown): void {
    if (typeof callback !== 'function') throw new TypeError('Headers.forEach takes a function');
    for (const [name, value] of this.#sorted()) callback.call(thisArg, value, name, this);
  }

  /** Name and value pairs sorted by name, joined, except `Set-Cookie` (Fetch, "sort and combine"). */
  entries(): IterableIterator<[string, string]> {
    return this.#sorted()[Symbol.iterator]();
  }

  *keys(): IterableIterator<string> {
    for (const entry of this.#sorted()) yield entry[0];
  }

  *values(): IterableIterator<string> {
    for (const entry of this.#sorted()) yield entry[1];
  }

  #sorted(): [string, string][] {
    const list = this.#read();
    const joined = new Map<string, [string, string]>();
    const all: [string, string][] = [];
    for (let i = 0; i < list.length; i += 2) {
      const name = list[i];
      const before = name === 'set-cookie' ? undefined : joined.get(name);
      if (before !== undefined) {
        before[1] = joinValues(name, before[1], list[i + 1]);
        continue;
      }
      const entry: [string, string] = [name, list[i + 1]];
      joined.set(name, entry);
      all.push(entry);
    }
    return all.sort((a, b) => (a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0));
  }

  [INSPECT](): unknown {
    return Object.assign(
      Object.create({ constructor: LightHeaders }),
      Object.fromEntries(this.#sorted()),
    );
  }

  declare [Symbol.iterator]: () => IterableIterator<[string, string]>;
}

// The standard has one function under both names, and undici tells its own Headers by that identity.
Object.defineProperty(LightHeaders.prototype, Symbol.iterator, {
  value: LightHeaders.prototype.entries,
  writable: true,
  configurable: true,
});
standInFor(LightHeaders, NativeHeaders, 'Headers');

const missing = (method: string): TypeError =>
  new TypeError(`Headers.${method} takes a name and a value`);

function removeFrom(list: string[], from: number, name: string): void {
  let kept = from;
  for (let i = from; i < list.length; i += 2) {
    if (list[i] === name) continue;
    list[kept] = list[i];
    list[kept + 1] = list[i + 1];
    kept += 2;
  }
  list.length = kept;
}

/**
 * Any `HeadersInit` as a new flat list, checked.
 * @throws TypeError for an invalid name or value, or an init of the wrong shape
 */
export function flatten(init: HeadersSource): string[] {
  if (typeof init !== 'object' || init === null) {
    if (typeof init !== 'function') {
      throw new TypeError('Headers are given as Headers, as pairs or as a record');
    }
  }
  if (isLightHeaders(init)) return listOfHeaders(init).slice();
  const list: string[] = [];
  if (typeof (init as Iterable<string[]>)[Symbol.iterator] === 'function') {
    for (const pair of init as Iterable<Iterable<string>>) {
      if (typeof pair !== 'object' || pair === null) {
        throw new TypeError('A header in a list of headers has to be a name and a value');
      }
      const [name, value, ...rest] = pair;
      if (value === undefined || rest.length > 0) {
        throw new TypeError('A header in a list of headers has to be a name and a value');
      }
      const normal = normalName(name);
      list.push(normal, normalValue(normal, value));
    }
    return list;
  }
  const record = init as Record<string, string>;
  for (const name of Object.keys(record)) {
    const normal = normalName(name);
    list.push(normal, normalValue(normal, record[name]));
  }
  return list;
}

/** `Headers` as applications import it. */
export const Headers = LightHeaders as unknown as typeof globalThis.Headers;
export type Headers = globalThis.Headers;
