/**
 * Turns an entry into a handler.
 *
 * Role: a folder is served as files; a module is imported and its shape decides the adapter.
 * Thread: a worker, once before its first request. Imports the application's code.
 * May not: guess. An entry of another shape is an error that says what was looked for.
 */
import { statSync } from 'node:fs';
import { resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import type { Handler } from './exchange.ts';
import { FetchHandler } from './fetch/fetch-handler.ts';
import type { FileOffload } from './files/offload.ts';
import { type NodeFunction, NodeHandler } from './node-http/node-handler.ts';
import { RouteDeadlines } from './route-deadlines.ts';
import { StaticHandler, type StaticOptions } from './static/static-handler.ts';

export type EntryErrorCode =
  /** There is nothing at this path. */
  | 'ERR_MPM_ENTRY_NOT_FOUND'
  /** The module threw while it was loaded; `cause` has what it threw. */
  | 'ERR_MPM_ENTRY_FAILED'
  /** The module exports nothing that could handle a request. */
  | 'ERR_MPM_ENTRY_SHAPE'
  /** The folder of `sendFileRoot` does not exist or cannot be entered. */
  | 'ERR_MPM_SENDFILE_ROOT';

/** Why an entry cannot be served; one clear message, a code to tell cases apart. */
export class EntryError extends Error {
  readonly code: EntryErrorCode;

  constructor(code: EntryErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'EntryError';
    this.code = code;
  }
}

type AnyFunction = (this: unknown, ...parameters: unknown[]) => unknown;

/**
 * Loads an entry. As srvx does: `module.fetch`, then `default.fetch`, then a default function, which
 * with fewer than two declared parameters is a web-style handler and otherwise `(req, res)`.
 * @param entry path (from the working directory) or file: URL of a folder or a module
 * @param folder how a folder is served
 * @param offload heeds X-Sendfile and its like in a module's responses; null: nobody does
 * @throws EntryError
 */
export async function loadHandler(
  entry: string,
  folder: StaticOptions,
  offload: FileOffload | null = null,
): Promise<Handler> {
  const path = entry.startsWith('file:') ? fileURLToPath(entry) : resolve(entry);
  if (isFolder(path, entry)) return new StaticHandler(path, folder);
  const url = pathToFileURL(path).href;
  let module: Record<string, unknown>;
  try {
    module = await import(url);
  } catch (cause) {
    throw new EntryError('ERR_MPM_ENTRY_FAILED', failedMessage(entry, cause), { cause });
  }
  const handler = handlerOf(module, entry, offload);
  try {
    handler.deadlines = RouteDeadlines.from(deadlinesOf(module));
  } catch (cause) {
    const { message } = cause as Error;
    throw new EntryError('ERR_MPM_ENTRY_SHAPE', `${entry}: ${message}`, { cause });
  }
  return handler;
}

/** `export const deadlines`, or the same on the default export. */
function deadlinesOf(module: Record<string, unknown>): unknown {
  if (module.deadlines !== undefined) return module.deadlines;
  const value = defaultExport(module);
  const holds = (typeof value === 'object' || typeof value === 'function') && value !== null;
  return holds ? (value as Record<string, unknown>).deadlines : undefined;
}

function isFolder(path: string, entry: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch (cause) {
    throw new EntryError('ERR_MPM_ENTRY_NOT_FOUND', `Entry not found: ${entry} (${path})`, {
      cause,
    });
  }
}

function handlerOf(
  module: Record<string, unknown>,
  entry: string,
  offload: FileOffload | null,
): FetchHandler | NodeHandler {
  const candidate = defaultExport(module);
  for (const owner of [module, candidate]) {
    const fetch = memberOf(owner, 'fetch');
    // Called on its owner, since frameworks' applications are objects with methods.
    if (fetch !== null) {
      return new FetchHandler((request, context) => fetch.call(owner, request, context), offload);
    }
  }
  if (typeof candidate === 'function') {
    return candidate.length < 2
      ? new FetchHandler(candidate as AnyFunction, offload)
      : new NodeHandler(candidate as NodeFunction, offload);
  }
  const names = Object.keys(module).join(', ') || 'nothing';
  throw new EntryError(
    'ERR_MPM_ENTRY_SHAPE',
    `${entry} exports neither fetch, nor a default with fetch, nor a default function (it exports ${names})`,
  );
}

/** The default export; that of a module compiled to CommonJS is one level further down. */
function defaultExport(module: Record<string, unknown>): unknown {
  const value = module.default;
  if (typeof value !== 'object' || value === null || !('__esModule' in value)) return value;
  return 'default' in value ? value.default : value;
}

function memberOf(owner: unknown, name: string): AnyFunction | null {
  if ((typeof owner !== 'object' && typeof owner !== 'function') || owner === null) return null;
  const member = (owner as Record<string, unknown>)[name];
  return typeof member === 'function' ? (member as AnyFunction) : null;
}

function failedMessage(entry: string, cause: unknown): string {
  if (!(cause instanceof Error)) return `${entry} failed to load: ${String(cause)}`;
  const frame = firstOwnFrame(cause);
  return `${entry} failed to load: ${cause.message}${frame === '' ? '' : ` (${frame})`}`;
}

/** The first line of a stack that is neither Node's nor a dependency's: where to look. */
function firstOwnFrame(error: Error): string {
  const lines = (error.stack ?? '').split('\n').map((line) => line.trim());
  // A syntax error has no frame of its own; V8 puts its place in front of the message.
  if (error instanceof SyntaxError && /^file:.*:\d+$/.test(lines[0])) return lines[0];
  const frames = lines.filter((line) => line.startsWith('at ') && !line.includes('node:'));
  const own = frames.find((line) => !line.includes('/node_modules/')) ?? frames[0];
  return own ?? '';
}
