/**
 * Puts a response on an exchange.
 *
 * Role: from a light or native Response to `respond`, or to a `Pump`.
 * Thread: a worker.
 * May not: use an exchange whose serial has moved on; every step after a wait checks first.
 */
import type { Exchange } from '../exchange.ts';
import { type FileAnswer, merged, readerOf } from '../files/file-answer.ts';
import { FileBody } from '../files/file-body.ts';
import { memoryFileOf } from '../files/memory-files.ts';
import { type FileOffload, isOffloadField } from '../files/offload.ts';
import { descriptors } from '../files/open-file.ts';
import { relaySocket } from '../files/send-socket.ts';
import { sendProxied } from '../reverse-proxy/proxy-answer.ts';
import { type ChunkSource, knownBytes, stopIteration } from './body.ts';
import type { FlatHeaders } from './headers.ts';
import { chunksOf, isGone, Pump } from './pump.ts';
import { abortRequest, type ExchangeRequest } from './request.ts';
import {
  bodyOfResponse,
  fileOfStream,
  isLightResponse,
  type LightBody,
  type LightResponse,
  listOfResponse,
  markUsed,
  NativeResponse,
} from './response.ts';

/** A blob up to this size is read whole and goes out in one piece. */
const MAX_WHOLE_BLOB = 256 * 1024;
const ignore = (): void => {};

/** Whether a value may be sent as a response. */
export function isResponse(value: unknown): value is LightResponse | globalThis.Response {
  if (typeof value !== 'object' || value === null) return false;
  if (isLightResponse(value) || value instanceof NativeResponse) return true;
  // A Response of another realm or of a package of its own (undici, a polyfill).
  const foreign = value as Partial<globalThis.Response> & { [Symbol.toStringTag]?: string };
  return foreign[Symbol.toStringTag] === 'Response' && typeof foreign.status === 'number';
}

/**
 * Sends a value that `isResponse` accepts. The exchange has to be current.
 * @param offload heeds X-Sendfile and its like; null: those are fields as any other
 * @throws FileError where a file cannot be sent after all, before anything was; whatever else goes
 *   wrong ends in `exchange.fail`
 */
export function sendResponse(
  exchange: Exchange,
  request: ExchangeRequest,
  response: LightResponse | globalThis.Response,
  offload: FileOffload | null = null,
): void {
  if (offload !== null && sendNamedFile(exchange, request, response, offload)) return;
  if (isLightResponse(response)) {
    const body = bodyOfResponse(response);
    if (body === null || typeof body === 'string' || body instanceof Uint8Array) {
      const { status } = response;
      if (status === 0) {
        exchange.fail(new TypeError('The handler returned Response.error()'));
        return;
      }
      const list = framed(listOfResponse(response));
      if (body === null && exchange.method === 'HEAD') {
        sendHead(exchange, status, response.statusText, list);
      } else if (body === null || typeof body === 'string') {
        exchange.respond(status, response.statusText, list, body);
      } else {
        sendBytes(exchange, status, response.statusText, list, body);
      }
      return;
    }
    sendStreamed(exchange, request, response, body, framed(listOfResponse(response)));
    return;
  }
  sendForeign(exchange, request, response);
}

/** Bytes as they are, or from a memory file where the application has said that they never change. */
function sendBytes(
  exchange: Exchange,
  status: number,
  statusText: string,
  list: FlatHeaders,
  bytes: Uint8Array,
): void {
  const part = exchange.method === 'HEAD' ? null : memoryFileOf(bytes);
  const fd = part === null ? -1 : descriptors().duplicate(part.fd);
  if (part === null || fd < 0) exchange.respond(status, statusText, list, bytes);
  else exchange.respondFile(status, statusText, list, fd, part.offset, bytes.byteLength);
}

/** Sends the file that a response names in place of its body; false where it names none. */
function sendNamedFile(
  exchange: Exchange,
  request: ExchangeRequest,
  response: LightResponse | globalThis.Response,
  offload: FileOffload,
): boolean {
  const given = listOf(response);
  const { method, target } = exchange;
  const asked = { method, field: (name: string) => request.headers.get(name) };
  const { status, statusText } = response;
  const answer = offload.answer(readerOf(given), status, asked, target, true);
  if (answer === null) return false;
  discardResponse(response);
  const kept: string[] = [];
  for (let i = 0; i < given.length; i += 2) {
    if (!isOffloadField(given[i])) kept.push(given[i], given[i + 1]);
  }
  sendAnswer(exchange, request, answer, answer.status === status ? statusText : '', kept);
  return true;
}

function sendAnswer(
  exchange: Exchange,
  request: ExchangeRequest,
  answer: FileAnswer,
  statusText: string,
  given: FlatHeaders,
): void {
  const { status, body } = answer;
  const list = framed(merged(given, answer));
  if (body instanceof FileBody) sendFileBody(exchange, request, status, statusText, list, body);
  else exchange.respond(status, statusText, list, body);
}

function sendFileBody(
  exchange: Exchange,
  request: ExchangeRequest,
  status: number,
  statusText: string,
  list: FlatHeaders,
  body: FileBody,
): void {
  const { serial } = exchange;
  body.send(exchange, status, statusText, list);
  if (isGone(exchange, serial)) return;
  // Several ranges are still being sent; the request's signal is to hear of an abort as well.
  const { onAbort } = exchange;
  exchange.onAbort = (reason) => {
    abortRequest(request, reason);
    onAbort?.(reason);
  };
}

/** All fields of a response, names in lower case; not to be changed. */
function listOf(response: LightResponse | globalThis.Response): FlatHeaders {
  if (isLightResponse(response)) return listOfResponse(response);
  const list: string[] = [];
  for (const [name, value] of response.headers) list.push(name, value);
  return list;
}

/**
 * To HEAD, without a body: a declared length is the one GET would have (RFC 9110, section 9.3.2), and
 * must not become 0.
 */
function sendHead(exchange: Exchange, status: number, statusText: string, list: FlatHeaders): void {
  const length = declaredLength(list);
  if (length < 0) {
    exchange.respond(status, statusText, list, null);
    return;
  }
  exchange.start(status, statusText, list, length);
  exchange.end();
}

/** A Response that is not ours: its fields through its public face. */
function sendForeign(
  exchange: Exchange,
  request: ExchangeRequest,
  response: globalThis.Response,
): void {
  if (sendProxied(exchange, response)) return;
  const { status, statusText, body } = response;
  if (status < 200 || status > 599) {
    exchange.fail(new TypeError(`The handler returned a response of status ${status}`));
    return;
  }
  const list = listOf(response);
  if (body === null || body === undefined) {
    if (exchange.method === 'HEAD') sendHead(exchange, status, statusText, framed(list));
    else exchange.respond(status, statusText, framed(list), null);
    return;
  }
  sendStreamed(exchange, request, response, body as LightBody & object, framed(list));
}

function sendStreamed(
  exchange: Exchange,
  request: ExchangeRequest,
  response: LightResponse | globalThis.Response,
  body: LightBody & object,
  list: FlatHeaders,
): void {
  if (sendProxied(exchange, response)) return;
  if (response.bodyUsed || (body instanceof ReadableStream && body.locked)) {
    exchange.fail(new TypeError('The body of the returned Response was read or is being read'));
    return;
  }
  if (isLightResponse(response)) markUsed(response);
  const { status, statusText } = response;
  const file = fileOf(body);
  if (file !== null) {
    sendFileBody(exchange, request, status, statusText, list, file);
    return;
  }
  if (relaySocket(exchange, body, status, statusText, list)) return;
  if (body instanceof Blob) {
    if (body.size <= MAX_WHOLE_BLOB && exchange.method !== 'HEAD') {
      sendBlob(exchange, request, status, statusText, list, body);
      return;
    }
    const source = body.stream() as ReadableStream<Uint8Array>;
    new Pump(exchange, request, chunksOf(source), body.size).run(status, statusText, list);
    return;
  }
  const source = body as ChunkSource;
  if (source instanceof ReadableStream) {
    const known = knownBytes(source);
    if (known !== null) {
      void source.cancel().catch(ignore);
      exchange.respond(status, statusText, list, known);
      return;
    }
  }
  const length = declaredLength(list);
  new Pump(exchange, request, chunksOf(source), length).run(status, statusText, list);
}

function fileOf(body: LightBody & object): FileBody | null {
  if (body instanceof FileBody) return body;
  if (!(body instanceof ReadableStream)) return null;
  const file = fileOfStream(body);
  // Whoever still holds the stream finds it spent.
  if (file !== null) void body.getReader();
  return file;
}

function sendBlob(
  exchange: Exchange,
  request: ExchangeRequest,
  status: number,
  statusText: string,
  list: FlatHeaders,
  blob: Blob,
): void {
  const { serial } = exchange;
  exchange.onAbort = (reason) => abortRequest(request, reason);
  blob.arrayBuffer().then(
    (buffer) => {
      if (isGone(exchange, serial)) return;
      exchange.onAbort = null;
      exchange.respond(status, statusText, list, new Uint8Array(buffer));
    },
    (error) => {
      if (!isGone(exchange, serial)) exchange.fail(error);
    },
  );
}

/** Frees what a response holds that nobody will get any more. */
export function discardResponse(value: unknown): void {
  if (!isResponse(value)) return;
  const body = isLightResponse(value) ? bodyOfResponse(value) : value.body;
  if (typeof body !== 'object' || body === null) return;
  if (body instanceof ReadableStream) {
    if (body.locked) return;
    void body.cancel(new DOMException('The client has gone', 'AbortError')).catch(ignore);
  } else if (!value.bodyUsed) {
    if (body instanceof FileBody) body.release();
    else if (!(body instanceof Uint8Array || body instanceof Blob)) stopIteration(body, null);
  }
}

/**
 * The list without the fields that describe this hop, which belong to the connection (RFC 9110,
 * section 7.6.1); the same list where it has none.
 */
function framed(list: FlatHeaders): FlatHeaders {
  for (let i = 0; i < list.length; i += 2) {
    if (!isOfConnection(list[i])) continue;
    const kept: string[] = [];
    for (let j = 0; j < list.length; j += 2) {
      if (!isOfConnection(list[j])) kept.push(list[j], list[j + 1]);
    }
    return kept;
  }
  return list;
}

function isOfConnection(name: string): boolean {
  switch (name.length) {
    case 10:
      return name === 'connection' || name === 'keep-alive';
    case 16:
      return name === 'proxy-connection';
    case 17:
      return name === 'transfer-encoding';
    default:
      return false;
  }
}

/** The Content-Length among the headers in bytes, -1 where there is none that can be used. */
function declaredLength(list: FlatHeaders): number {
  for (let i = 0; i < list.length; i += 2) {
    if (list[i] !== 'content-length') continue;
    const length = /^[0-9]{1,15}$/.test(list[i + 1]) ? Number(list[i + 1]) : -1;
    return length;
  }
  return -1;
}
