/**
 * `Request`, light: a view of an exchange that reads it only when asked.
 *
 * Role: the class handlers get as `Request`; stands in the native prototype chain.
 * Thread: a worker.
 * May not: use the exchange once its `serial` has moved on. Applications may keep a Request; what was
 * captured stays readable then, and reading the body rejects.
 *
 * A Request that the application makes itself is a native one; only those made from an exchange are
 * light. `new Request(lightRequest)` and `fetch(lightRequest)` go through its native twin.
 */
import type { AbortReason, Exchange, Forwarded } from '../exchange.ts';
import {
  blobOf,
  Collector,
  collect,
  copyOf,
  decodeText,
  formDataOf,
  isDisturbed,
  spentStream,
  streamOfBytes,
  unusable,
} from './body.ts';
import { headersOfHead, type LightHeaders, listOfHeaders } from './headers.ts';
import { standInFor } from './prototype.ts';
import type { RequestInfo } from './types.ts';
import { requestUrl, secureUrl } from './url.ts';

/** The runtime's own class; kept because `installGlobals` replaces the global one. */
export const NativeRequest = globalThis.Request;

const INSPECT = Symbol.for('nodejs.util.inspect.custom');
const ABORT_MESSAGES: Readonly<Record<AbortReason, string>> = {
  'peer-gone': 'The client closed the connection',
  'handed-over': 'The request goes on in a lengthy worker',
  timeout: 'The request took too long',
  shutdown: 'The server is shutting down',
};

/** What most requests never need. */
interface Rare {
  headers: LightHeaders | null;
  controller: AbortController | null;
  abortReason: AbortReason | null;
  stream: ReadableStream<Uint8Array> | null;
  used: boolean;
  native: globalThis.Request | null;
}

/** The light request of an exchange that is current. */
export let requestOf: (exchange: Exchange) => ExchangeRequest;
/** Tells the request's signal that the exchange was aborted. */
export let abortRequest: (request: ExchangeRequest, reason: AbortReason) => void;
/** The native twin of a light request, made on the first call; other values come back as they are. */
export let nativeRequestOf: (value: unknown) => unknown;

function ended(): TypeError {
  return new TypeError('The request has ended: its body can no longer be read');
}

/** The request of an exchange, as the Fetch standard's `Request`. */
export class ExchangeRequest {
  #exchange: Exchange;
  #serial: number;
  #tableSerial: number;
  #method: string;
  #target: string;
  #head: string;
  #url: string | null;
  readonly #forwarded: Forwarded | null;
  #rare: Rare | null;

  static {
    requestOf = (exchange) => new ExchangeRequest(exchange);
    abortRequest = (request, reason) => {
      const rare = request.#more();
      rare.abortReason ??= reason;
      rare.controller?.abort(abortError(rare.abortReason));
    };
    nativeRequestOf = (value) =>
      typeof value === 'object' && value !== null && #rare in value ? value.#toNative() : value;
  }

  constructor(exchange: Exchange) {
    this.#exchange = exchange;
    this.#serial = exchange.serial;
    this.#tableSerial = exchange.table.serial;
    this.#method = exchange.method;
    this.#target = exchange.target;
    this.#head = exchange.head;
    this.#url = null;
    this.#forwarded = exchange.forwarded;
    this.#rare = null;
  }

  #more(): Rare {
    if (this.#rare === null) {
      this.#rare = {
        headers: null,
        controller: null,
        abortReason: null,
        stream: null,
        used: false,
        native: null,
      };
    }
    return this.#rare;
  }

  #isGone(): boolean {
    return this.#exchange.serial !== this.#serial || this.#exchange.ended;
  }

  get method(): string {
    return this.#method;
  }

  /**
   * The target URI (RFC 9112, section 3.3), serialised as a URL.
   * @throws TypeError with code ERR_MPM_BAD_HOST where Host and target make no URL
   */
  get url(): string {
    if (this.#url === null) {
      const exchange = this.#isGone() ? null : this.#exchange;
      const host = this.#forwarded?.host || this.headers.get('host');
      const url = requestUrl(this.#target, host, exchange);
      this.#url = this.#forwarded?.secure === true ? secureUrl(url) : url;
    }
    return this.#url;
  }

  get headers(): LightHeaders {
    const rare = this.#more();
    if (rare.headers === null) {
      rare.headers = headersOfHead(this.#head, this.#exchange.table, this.#tableSerial);
    }
    return rare.headers;
  }

  /**
   * Aborted when the exchange is aborted before the response was complete; made on demand. Whoever asks
   * for it wants to know that the client has left: one that has shut its side counts as gone then.
   */
  get signal(): AbortSignal {
    const rare = this.#more();
    if (rare.controller === null) {
      rare.controller = new AbortController();
      if (rare.abortReason !== null) rare.controller.abort(abortError(rare.abortReason));
      else if (!this.#isGone()) this.#listenForAbort();
    }
    return rare.controller.signal;
  }

  /** `onAbort` is one slot: whoever sends the response later calls `abortRequest` itself. */
  #listenForAbort(): void {
    const exchange = this.#exchange;
    exchange.onAbort ??= (reason) => abortRequest(this, reason);
    exchange.heedPeerEnd();
  }

  get bodyUsed(): boolean {
    const rare = this.#rare;
    if (rare === null) return false;
    if (rare.native !== null) return rare.native.bodyUsed;
    return rare.used || (rare.stream !== null && isDisturbed(rare.stream));
  }

  /** The body as a byte stream that reads from the connection no faster than it is read itself. */
  get body(): ReadableStream<Uint8Array> | null {
    const rare = this.#more();
    if (rare.native !== null) return rare.native.body;
    if (rare.stream === null) {
      const exchange = this.#exchange;
      if (rare.used) rare.stream = spentStream();
      else if (this.#isGone()) rare.stream = this.#streamOfExchange();
      else if (exchange.bodyLength === 0) return null;
      else if (exchange.bodyLength > 0) rare.stream = streamOfBytes(copyOf(exchange.takeBody()));
      else rare.stream = this.#streamOfExchange();
    }
    return rare.stream;
  }

  /** The next piece of a streamed body, refused once the exchange has gone. */
  async #readPiece(): Promise<Uint8Array | null> {
    if (this.#isGone()) throw ended();
    const piece = await this.#exchange.readBody();
    // An end of the peer's stream that came before the body's is no leaving until here.
    if (piece === null && this.#rare?.controller && !this.#isGone()) this.#exchange.heedPeerEnd();
    return piece;
  }

  #streamOfExchange(): ReadableStream<Uint8Array> {
    return new ReadableStream(
      {
        type: 'bytes',
        pull: async (controller) => {
          const piece = await this.#readPiece();
          if (piece === null) {
            controller.close();
            controller.byobRequest?.respond(0);
          } else {
            // Enqueueing hands the ArrayBuffer over, so it has to be one of our own.
            controller.enqueue(copyOf(piece));
          }
        },
      },
      { highWaterMark: 0 },
    );
  }

  /** The whole body for one reader. A whole one is lent: valid until the exchange ends. */
  #take(): Uint8Array | null | Promise<Uint8Array> {
    const rare = this.#more();
    const { stream } = rare;
    if (rare.used || (stream !== null && (stream.locked || isDisturbed(stream)))) throw unusable();
    if (stream !== null) {
      rare.used = true;
      return collect(stream);
    }
    if (this.#isGone()) throw ended();
    const exchange = this.#exchange;
    if (exchange.bodyLength === 0) return null;
    rare.used = true;
    return exchange.bodyLength > 0 ? exchange.takeBody() : this.#collect();
  }

  async #collect(): Promise<Uint8Array> {
    const collector = new Collector(this.#exchange.contentLength);
    for (;;) {
      const piece = await this.#readPiece();
      if (piece === null) return collector.take();
      collector.add(piece);
    }
  }

  async text(): Promise<string> {
    const native = this.#rare?.native;
    if (native) return native.text();
    const taken = this.#take();
    if (taken === null) return '';
    return decodeText(taken instanceof Uint8Array ? taken : await taken);
  }

  // biome-ignore lint/suspicious/noExplicitAny: the standard's signature
  async json(): Promise<any> {
    return JSON.parse(await this.text());
  }

  async bytes(): Promise<Uint8Array> {
    const native = this.#rare?.native;
    if (native) return new Uint8Array(await native.arrayBuffer());
    const taken = this.#take();
    if (taken === null) return new Uint8Array(0);
    return taken instanceof Uint8Array ? copyOf(taken) : await taken;
  }

  async arrayBuffer(): Promise<ArrayBuffer> {
    return (await this.bytes()).buffer as ArrayBuffer;
  }

  async blob(): Promise<Blob> {
    const native = this.#rare?.native;
    if (native) return native.blob();
    return blobOf(await this.bytes(), this.headers.get('content-type'));
  }

  async formData(): Promise<FormData> {
    const native = this.#rare?.native;
    if (native) return native.formData();
    return formDataOf(await this.bytes(), this.headers.get('content-type'));
  }

  /** A native copy; both can be read from then on. */
  clone(): globalThis.Request {
    return this.#toNative().clone();
  }

  /** From here on the native twin owns the body. */
  #toNative(): globalThis.Request {
    const rare = this.#more();
    if (rare.native !== null) return rare.native;
    if (rare.used) throw unusable();
    const init: globalThis.RequestInit = {
      method: this.#method,
      headers: pairs(listOfHeaders(this.headers)),
      signal: this.signal,
    };
    // A native Request refuses a body with these two (Fetch, "new Request", step 34).
    const body = this.#method === 'GET' || this.#method === 'HEAD' ? null : this.body;
    if (body !== null) {
      init.body = body;
      init.duplex = 'half';
    }
    rare.native = new NativeRequest(this.url, init);
    return rare.native;
  }

  get cache(): globalThis.Request['cache'] {
    return 'default';
  }

  get credentials(): globalThis.Request['credentials'] {
    return 'same-origin';
  }

  get destination(): globalThis.Request['destination'] {
    return '';
  }

  get duplex(): 'half' {
    return 'half';
  }

  get integrity(): string {
    return '';
  }

  get keepalive(): boolean {
    return false;
  }

  get mode(): globalThis.Request['mode'] {
    return 'cors';
  }

  get redirect(): globalThis.Request['redirect'] {
    return 'follow';
  }

  get referrer(): string {
    return 'about:client';
  }

  get referrerPolicy(): globalThis.Request['referrerPolicy'] {
    return '';
  }

  [INSPECT](): unknown {
    const { method, url, headers, bodyUsed } = this;
    return Object.assign(Object.create({ constructor: LightRequest }), {
      method,
      url,
      headers,
      bodyUsed,
    });
  }
}

function abortError(reason: AbortReason): DOMException {
  return new DOMException(ABORT_MESSAGES[reason], 'AbortError');
}

function pairs(list: readonly string[]): [string, string][] {
  const all: [string, string][] = [];
  for (let i = 0; i < list.length; i += 2) all.push([list[i], list[i + 1]]);
  return all;
}

/** The native class, except that it takes light requests as well and that those are instances of it. */
class LightRequest extends NativeRequest {
  constructor(input: RequestInfo, init?: globalThis.RequestInit) {
    super(nativeRequestOf(input) as RequestInfo, init);
  }
}

standInFor(LightRequest, NativeRequest, 'Request');
Object.setPrototypeOf(ExchangeRequest.prototype, LightRequest.prototype);
Object.defineProperty(ExchangeRequest.prototype, 'constructor', {
  value: LightRequest,
  writable: true,
  configurable: true,
});

/** `Request` as applications import it. */
export const Request: typeof globalThis.Request = LightRequest;
export type Request = globalThis.Request;
