/**
 * Which adapter runs what a module exports.
 *
 * Role: tells the frameworks' applications apart by what they have, not by their names.
 * Thread: a worker, once after the module was imported.
 */
import { type IncomingMessage, Server, type ServerResponse } from 'node:http';
import type { AdoptedServers } from './adoption/adopted-servers.ts';
import { EntryError } from './entry-error.ts';
import type { Handler } from './exchange.ts';
import { FetchHandler } from './fetch/fetch-handler.ts';
import type { FileOffload } from './files/offload.ts';
import { type NodeFunction, NodeHandler } from './node-http/node-handler.ts';

type AnyFunction = (this: unknown, ...parameters: unknown[]) => unknown;

/**
 * In this order: `module.fetch`, then `default.fetch` (Hono, h3, itty-router, plain objects); a Fastify
 * instance, a Koa or Nest application, an http.Server that does not listen; a function, which with
 * fewer than two declared parameters is a web-style handler and otherwise `(req, res)` (Express,
 * Connect, Koa's `callback()`); at last what the module had listen. The default export may be a promise
 * of any of these.
 * @param adopted what the module had listen; null: nothing
 * @throws EntryError
 */
export async function handlerOf(
  module: Record<string, unknown>,
  entry: string,
  offload: FileOffload | null,
  adopted: AdoptedServers | null = null,
): Promise<Handler> {
  let candidate: unknown;
  try {
    candidate = (await settledExport(module)).value;
  } catch (cause) {
    const message = `${entry}: its default export rejected: ${messageOf(cause)}`;
    throw new EntryError('ERR_MPM_ENTRY_FAILED', message, { cause });
  }
  for (const owner of [module, candidate]) {
    const fetch = memberOf(owner, 'fetch');
    // Called on its owner, since frameworks' applications are objects with methods.
    if (fetch !== null) {
      return new FetchHandler((request, context) => fetch.call(owner, request, context), offload);
    }
  }
  if (candidate instanceof Server && !candidate.listening) return serverHandler(candidate, offload);
  let application: Handler | null;
  try {
    application = await applicationHandler(candidate, offload);
  } catch (cause) {
    const message = `${entry}: its application did not get ready: ${messageOf(cause)}`;
    throw new EntryError('ERR_MPM_ENTRY_FAILED', message, { cause });
  }
  if (application !== null) return application;
  if (typeof candidate === 'function') {
    return candidate.length < 2
      ? new FetchHandler(candidate as AnyFunction, offload)
      : new NodeHandler(candidate as NodeFunction, offload);
  }
  if (adopted?.any === true) return adopted;
  const names = Object.keys(module).join(', ') || 'nothing';
  throw new EntryError(
    'ERR_MPM_ENTRY_SHAPE',
    `${entry} exports neither fetch, nor a default with fetch, nor a default function or application, and has no http.Server listen (it exports ${names}); a script that listens later is for \`hybrid-mpm run\``,
  );
}

/**
 * The default export; that of a module compiled to CommonJS is one level further down. In an object,
 * since an application may have a `then` that is none of a promise's: to itty-router any name is a
 * method, and to wait for that one is to wait for ever.
 */
export async function settledExport(
  module: Record<string, unknown>,
): Promise<{ readonly value: unknown }> {
  const value = module.default;
  const nested = typeof value === 'object' && value !== null && '__esModule' in value;
  const candidate = nested && 'default' in value ? value.default : value;
  // Only a promise: a Fastify instance has a `then` as well, by which it gets ready.
  return { value: candidate instanceof Promise ? await candidate : candidate };
}

/** Frameworks whose application is an object; null: it is none of these. */
async function applicationHandler(
  application: unknown,
  offload: FileOffload | null,
): Promise<Handler | null> {
  const member = (name: string) => memberOf(application, name);
  // Fastify: `routing` is the listener of its server, valid once the plugins are loaded.
  const routing = member('routing');
  if (routing !== null && member('ready') !== null && member('inject') !== null) {
    await member('ready')?.call(application);
    const handler = new NodeHandler(routing as NodeFunction, offload);
    return withEnd(handler, async () => void (await member('close')?.call(application)));
  }
  // Koa
  if (typeof application === 'object' && member('callback') !== null && member('use') !== null) {
    const callback = member('callback')?.call(application);
    return new NodeHandler(callback as NodeFunction, offload);
  }
  // Nest: `init` loads the modules, and the adapter has the framework below.
  const adapter = member('init') === null ? null : member('getHttpAdapter')?.call(application);
  const instanceOf = memberOf(adapter, 'getInstance');
  if (instanceOf !== null) {
    await member('init')?.call(application);
    const instance = instanceOf.call(adapter);
    const inner =
      typeof instance === 'function'
        ? new NodeHandler(instance as NodeFunction, offload)
        : await applicationHandler(instance, offload);
    if (inner === null) return null;
    return withEnd(inner, async () => void (await member('close')?.call(application)));
  }
  return null;
}

/** The same handler, with something to do once this worker's last request is over. */
function withEnd(handler: Handler, end: () => Promise<void>): Handler {
  const { kind, direct = null } = handler;
  return { kind, direct, handle: (exchange) => handler.handle(exchange), settled: end };
}

/** A server that was made and left to whoever imports it. */
function serverHandler(server: Server, offload: FileOffload | null): Handler {
  const emit = (request: IncomingMessage, response: ServerResponse) => {
    Object.assign(request.socket, { server });
    server.emit('request', request, response);
  };
  return new NodeHandler(emit, offload, server);
}

function memberOf(owner: unknown, name: string): AnyFunction | null {
  if ((typeof owner !== 'object' && typeof owner !== 'function') || owner === null) return null;
  const member = (owner as Record<string, unknown>)[name];
  return typeof member === 'function' ? (member as AnyFunction) : null;
}

const messageOf = (cause: unknown): string =>
  cause instanceof Error ? cause.message : String(cause);
