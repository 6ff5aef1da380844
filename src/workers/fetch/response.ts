/**
 * `Response`, light: holds status, headers and body as given and does work only when asked.
 *
 * Role: the class applications see as `Response`; stands in the native prototype chain.
 * Thread: a worker.
 * May not: send anything; `send.ts` does.
 *
 * Differences from the Fetch standard: bytes are kept, not copied, at construction, so they must not
 * change before they are sent; an async iterable is accepted as a body; the headers of a redirect may
 * be changed; a Response whose body is a string or bytes may be sent more than once.
 */
import { FileBody } from '../files/file-body.ts';
import {
  blobOf,
  type ChunkSource,
  collect,
  copyOf,
  decodedText,
  decodeText,
  encodeText,
  formDataOf,
  isDisturbed,
  NativeResponse,
  spentStream,
  stopIteration,
  streamOfBytes,
  unusable,
} from './body.ts';
import {
  type FlatHeaders,
  flatten,
  headersOfList,
  type LightHeaders,
  listOfHeaders,
} from './headers.ts';
import { standInFor } from './prototype.ts';
import type { BodyInit } from './types.ts';

export { NativeResponse };

/** What a light response holds as its body after construction. */
export type LightBody = string | Uint8Array | Blob | FileBody | ChunkSource | null;

/** Shared lists, so that the connection can serve their bytes from its cache. */
const NO_HEADERS: FlatHeaders = Object.freeze([]);
const TEXT_TYPE = 'text/plain;charset=UTF-8';
const FORM_TYPE = 'application/x-www-form-urlencoded;charset=UTF-8';
const MAX_SHARED_LISTS = 64;
const MAX_SHARED_TYPE_LENGTH = 128;

const REASON_PHRASE = /^[\t\x20-\x7e\x80-\xff]*$/;
const INSPECT = Symbol.for('nodejs.util.inspect.custom');

const USED = 1;
const NETWORK_ERROR = 2;

const sharedLists = new Map<string, FlatHeaders>();

/** The one list for responses that carry nothing but this content type; bounded. */
function contentTypeOnly(type: string): FlatHeaders {
  const known = sharedLists.get(type);
  if (known !== undefined) return known;
  const list = Object.freeze(['content-type', type]);
  if (sharedLists.size < MAX_SHARED_LISTS && type.length <= MAX_SHARED_TYPE_LENGTH) {
    sharedLists.set(type, list);
  }
  return list;
}

const TEXT_HEADERS = contentTypeOnly(TEXT_TYPE);

/** Whether a value is a `Response` made by this module. */
export let isLightResponse: (value: object) => value is LightResponse;
/** The body as it is held. */
export let bodyOfResponse: (response: LightResponse) => LightBody;
/** The headers as a flat list; not to be changed. */
export let listOfResponse: (response: LightResponse) => FlatHeaders;
/** Marks the body as read, so that only one reader gets it. */
export let markUsed: (response: LightResponse) => void;
/** A response of parts that were checked before; the list is the response's from then on. */
export let responseOf: (
  status: number,
  statusText: string,
  list: FlatHeaders,
  body: FileBody | string | null,
) => LightResponse;

/** A response as the Fetch standard's `Response` (https://fetch.spec.whatwg.org/#response-class). */
export class LightResponse {
  #status: number;
  #statusText: string;
  #list: FlatHeaders;
  #headers: LightHeaders | null;
  #body: LightBody;
  #flags: number;

  static {
    isLightResponse = (value): value is LightResponse => #flags in value;
    bodyOfResponse = (response) => response.#body;
    listOfResponse = (response) =>
      response.#headers === null ? response.#list : listOfHeaders(response.#headers);
    markUsed = (response) => {
      response.#flags |= USED;
    };
    responseOf = (status, statusText, list, body) => {
      const response = new LightResponse();
      response.#status = status;
      response.#statusText = statusText;
      response.#list = list;
      response.#body = body;
      return response;
    };
  }

  /**
   * @param body string (`text/plain;charset=UTF-8` unless a type is given), bytes, Blob,
   *   URLSearchParams, FormData, ReadableStream, async iterable, or null
   * @throws RangeError for a status outside 200..599
   * @throws TypeError for a body with a status that has none (204, 205, 304), an invalid header or
   *   reason phrase, or a stream that was read from or is locked
   */
  constructor(body: BodyInit = null, init?: globalThis.ResponseInit) {
    this.#status = 200;
    this.#statusText = '';
    this.#list = NO_HEADERS;
    this.#headers = null;
    this.#body = null;
    this.#flags = 0;
    if (init !== undefined && init !== null) this.#initialise(init);
    if (typeof body === 'string') {
      this.#setBody(body, TEXT_TYPE);
    } else if (body !== null && body !== undefined) {
      this.#extract(body);
    }
  }

  #initialise(init: globalThis.ResponseInit): void {
    if (typeof init !== 'object' && typeof init !== 'function') {
      throw new TypeError('Response init has to be an object');
    }
    const { status, statusText, headers } = init;
    if (status !== undefined) {
      const code = Number(status) & 0xffff;
      if (code < 200 || code > 599) {
        throw new RangeError(`Response status has to be 200 to 599, not ${String(status)}`);
      }
      this.#status = code;
    }
    if (statusText !== undefined && statusText !== '') {
      const text = String(statusText);
      if (!REASON_PHRASE.test(text)) throw new TypeError('Invalid statusText');
      this.#statusText = text;
    }
    if (headers !== undefined) this.#list = share(flatten(headers));
  }

  /** @param type the content type the body brings along, '' for none */
  #setBody(body: LightBody, type: string): void {
    const status = this.#status;
    if (status === 204 || status === 205 || status === 304) {
      throw new TypeError(`A response of status ${status} has no body`);
    }
    this.#body = body;
    if (type === '') return;
    const list = this.#list;
    if (list.length === 0) {
      this.#list = type === TEXT_TYPE ? TEXT_HEADERS : contentTypeOnly(type);
      return;
    }
    for (let i = 0; i < list.length; i += 2) if (list[i] === 'content-type') return;
    this.#list = [...list, 'content-type', type];
  }

  /** Fetch, "extract a body", for everything but strings. */
  #extract(body: Exclude<BodyInit, string | null>): void {
    if (body instanceof Uint8Array) {
      this.#setBody(body, '');
    } else if (body instanceof ReadableStream) {
      if (body.locked || isDisturbed(body)) {
        throw new TypeError('Response body object should not be disturbed or locked');
      }
      this.#setBody(body, '');
    } else if (body instanceof ArrayBuffer) {
      this.#setBody(new Uint8Array(body), '');
    } else if (ArrayBuffer.isView(body)) {
      this.#setBody(new Uint8Array(body.buffer, body.byteOffset, body.byteLength), '');
    } else if (body instanceof Blob) {
      this.#setBody(body, body.type);
    } else if (body instanceof URLSearchParams) {
      this.#setBody(body.toString(), FORM_TYPE);
    } else if (body instanceof FormData) {
      // The multipart encoder is the runtime's own.
      const native = new NativeResponse(body);
      this.#setBody(native.body, native.headers.get('content-type') ?? '');
    } else if (isAsyncIterable(body)) {
      this.#setBody(body, '');
    } else {
      this.#setBody(String(body), TEXT_TYPE);
    }
  }

  get status(): number {
    return this.#status;
  }

  get statusText(): string {
    return this.#statusText;
  }

  get ok(): boolean {
    return this.#status >= 200 && this.#status <= 299;
  }

  get headers(): LightHeaders {
    if (this.#headers === null) this.#headers = headersOfList(this.#list);
    return this.#headers;
  }

  get type(): globalThis.Response['type'] {
    return (this.#flags & NETWORK_ERROR) !== 0 ? 'error' : 'default';
  }

  get url(): string {
    return '';
  }

  get redirected(): boolean {
    return false;
  }

  get bodyUsed(): boolean {
    if ((this.#flags & USED) !== 0) return true;
    return this.#body instanceof ReadableStream && isDisturbed(this.#body);
  }

  /** The body as a stream, made on the first call; null where there is none. */
  get body(): ReadableStream<Uint8Array> | null {
    const body = this.#body;
    if (body === null || body instanceof ReadableStream) return body;
    let stream: ReadableStream<Uint8Array>;
    if ((this.#flags & USED) !== 0) stream = spentStream();
    else if (typeof body === 'string' || body instanceof Uint8Array) stream = streamOfBytes(body);
    else if (body instanceof Blob) stream = body.stream() as ReadableStream<Uint8Array>;
    else if (body instanceof FileBody) stream = streamOfFile(body);
    else stream = streamOfIterable(body);
    this.#body = stream;
    return stream;
  }

  /** Takes the body for one reader; throws TypeError where somebody had it before. */
  #take(): LightBody {
    const body = this.#body;
    if (body === null) return null;
    if ((this.#flags & USED) !== 0) throw unusable();
    if (body instanceof ReadableStream && (body.locked || isDisturbed(body))) throw unusable();
    this.#flags |= USED;
    return body;
  }

  async #bytes(): Promise<Uint8Array<ArrayBuffer>> {
    const body = this.#take();
    if (body === null) return new Uint8Array(0);
    if (typeof body === 'string') return encodeText(body);
    if (body instanceof Uint8Array) return copyOf(body);
    if (body instanceof Blob) return new Uint8Array(await body.arrayBuffer());
    return collect(body instanceof FileBody ? body.chunks() : body);
  }

  async text(): Promise<string> {
    if (typeof this.#body === 'string') return decodedText(this.#take() as string);
    if (this.#body instanceof Uint8Array) return decodeText(this.#take() as Uint8Array);
    return decodeText(await this.#bytes());
  }

  // biome-ignore lint/suspicious/noExplicitAny: the standard's signature
  async json(): Promise<any> {
    return JSON.parse(await this.text());
  }

  async arrayBuffer(): Promise<ArrayBuffer> {
    return (await this.#bytes()).buffer;
  }

  bytes(): Promise<Uint8Array> {
    return this.#bytes();
  }

  async blob(): Promise<Blob> {
    return blobOf(await this.#bytes(), this.headers.get('content-type'));
  }

  async formData(): Promise<FormData> {
    return formDataOf(await this.#bytes(), this.headers.get('content-type'));
  }

  /** @throws TypeError where the body was read or is being read */
  clone(): LightResponse {
    if (this.bodyUsed || (this.#body instanceof ReadableStream && this.#body.locked)) {
      throw new TypeError('Response.clone: Body has already been consumed.');
    }
    const copy = new LightResponse();
    copy.#status = this.#status;
    copy.#statusText = this.#statusText;
    copy.#list = listOfResponse(this);
    copy.#flags = this.#flags;
    if (this.#body instanceof FileBody) {
      copy.#body = this.#body.share();
      return copy;
    }
    copy.#body = this.#body;
    const stream = isFixed(this.#body) ? null : this.body;
    if (stream !== null) [this.#body, copy.#body] = stream.tee();
    return copy;
  }

  /** @throws TypeError where the data cannot be serialised */
  static json(data: unknown, init?: globalThis.ResponseInit): LightResponse {
    const text: string | undefined = JSON.stringify(data);
    if (text === undefined) throw new TypeError('Value is not JSON serializable');
    const response = new LightResponse(null, init);
    response.#setBody(text, 'application/json');
    return response;
  }

  /**
   * @param url absolute, since a server has no base to resolve against; a path such as `/login` is
   *   passed on as it is (RFC 9110, section 10.2.2 allows it in Location)
   * @throws TypeError for a URL that does not parse, RangeError for a status that is no redirect
   */
  static redirect(url: string | URL, status = 302): LightResponse {
    if (status !== 301 && status !== 302 && status !== 303 && status !== 307 && status !== 308) {
      throw new RangeError(`Invalid redirect status code ${status}`);
    }
    const response = new LightResponse();
    response.#status = status;
    response.#list = ['location', locationOf(String(url))];
    return response;
  }

  /** A network error (status 0); a handler that returns it has failed. */
  static error(): LightResponse {
    const response = new LightResponse();
    response.#status = 0;
    response.#flags = NETWORK_ERROR;
    return response;
  }

  [INSPECT](): unknown {
    const { status, statusText, headers, bodyUsed, ok, type } = this;
    return Object.assign(Object.create({ constructor: LightResponse }), {
      status,
      statusText,
      headers,
      bodyUsed,
      ok,
      type,
    });
  }
}

standInFor(LightResponse, NativeResponse, 'Response');

/** Replaces a list of nothing but a content type by the shared one of the same meaning. */
function share(list: string[]): FlatHeaders {
  return list.length === 2 && list[0] === 'content-type' ? contentTypeOnly(list[1]) : list;
}

/** Whether two responses can hold the same body without reading it. */
function isFixed(body: LightBody): boolean {
  return (
    body === null || typeof body === 'string' || body instanceof Uint8Array || body instanceof Blob
  );
}

function isAsyncIterable(value: object): value is AsyncIterable<Uint8Array | string> {
  return typeof (value as AsyncIterable<unknown>)[Symbol.asyncIterator] === 'function';
}

const fileStreams = new WeakMap<ReadableStream, FileBody>();

function streamOfFile(file: FileBody): ReadableStream<Uint8Array> {
  const stream = streamOfIterable(file.chunks(), () => file.release());
  fileStreams.set(stream, file);
  return stream;
}

/**
 * The file behind an untouched stream of a response, otherwise null, so that
 * `new Response(other.body, other)` is sent as the other one would have been.
 */
export function fileOfStream(stream: ReadableStream): FileBody | null {
  const file = fileStreams.get(stream);
  return file === undefined || stream.locked || isDisturbed(stream) ? null : file;
}

/** @param released called besides when the stream is cancelled */
function streamOfIterable(
  source: AsyncIterable<Uint8Array | string>,
  released: () => void = () => {},
): ReadableStream<Uint8Array> {
  const iterator = source[Symbol.asyncIterator]();
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const { done, value } = await iterator.next();
        if (done) controller.close();
        else controller.enqueue(typeof value === 'string' ? encodeText(value) : value);
      },
      cancel() {
        released();
        stopIteration(source, iterator);
      },
    },
    { highWaterMark: 0 },
  );
}

/** A Location value of ASCII only; paths stay relative. */
function locationOf(url: string): string {
  if (!/^[/?#.]/.test(url)) {
    try {
      return new URL(url).href;
    } catch (cause) {
      throw new TypeError(`Failed to parse URL from ${url}`, { cause });
    }
  }
  const base = 'http://base.invalid/';
  try {
    if (url.startsWith('//')) return new URL(url, base).href.slice('http:'.length);
    // Only to have it percent-encoded; the path is kept as written where it is plain already.
    if (/^[\x21-\x7e]*$/.test(url)) return url;
    return new URL(url, base).href.slice(base.length - 1);
  } catch (cause) {
    throw new TypeError(`Failed to parse URL from ${url}`, { cause });
  }
}

/** `Response` as applications import it: the native type, with what this one takes besides. */
export interface ResponseConstructor {
  new (body?: BodyInit, init?: globalThis.ResponseInit): globalThis.Response;
  readonly prototype: globalThis.Response;
  error(): globalThis.Response;
  json(data: unknown, init?: globalThis.ResponseInit): globalThis.Response;
  redirect(url: string | URL, status?: number): globalThis.Response;
}

export const Response = LightResponse as unknown as ResponseConstructor;
export type Response = globalThis.Response;
