/**
 * Turns an entry into a handler.
 *
 * Role: a folder is served as files; a module is imported and its shape decides the adapter; a script
 * is run and what it has listen is served.
 * Thread: a worker, once before its first request. Imports the application's code.
 * May not: guess. An entry of another shape is an error that says what was looked for.
 */
import { statSync } from 'node:fs';
import { resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import type { AdoptedServers } from './adoption/adopted-servers.ts';
import { isTypeScript, runScript } from './adoption/script.ts';
import { EntryError } from './entry-error.ts';
import { handlerOf, settledExport } from './entry-shape.ts';
import type { Handler } from './exchange.ts';
import type { FileOffload } from './files/offload.ts';
import { LengthyRoutes } from './lengthy/lengthy-routes.ts';
import { RouteDeadlines } from './route-deadlines.ts';
import { protocolsOf } from './session/load.ts';
import { StaticHandler, type StaticOptions } from './static/static-handler.ts';
import { adoptedTarget, type UpgradeTarget, upgradeTargetOf } from './upgrade/upgrade-target.ts';
import { UpgradingHandler } from './upgrade/upgrading-handler.ts';

export { EntryError, type EntryErrorCode } from './entry-error.ts';

type Exports = Record<string, unknown>;

/** How long a script may take to its first `listen`: databases are connected to before. */
const LISTEN_DEADLINE_MS = 60_000;

/**
 * Loads an entry, see `handlerOf` for what its module may export.
 * @param entry path (from the working directory) or file: URL of a folder or a module
 * @param folder how a folder is served
 * @param offload heeds X-Sendfile and its like in a module's responses; null: nobody does
 * @param adopted has the http.Servers that the module has listen; null: they listen by themselves
 * @throws EntryError
 */
export async function loadHandler(
  entry: string,
  folder: StaticOptions,
  offload: FileOffload | null = null,
  adopted: AdoptedServers | null = null,
  wanted: WantedProtocols = HTTP_ALONE,
): Promise<Handler> {
  const path = pathOf(entry);
  if (isFolder(path, entry)) {
    const [name] = wanted.sessions;
    if (name === undefined) return new StaticHandler(path, folder);
    const message = `listen names the protocol ${name}, and ${entry} is a folder, which has none`;
    throw new EntryError('ERR_MPM_PROTOCOL', message);
  }
  return (await loadApplication(entry, offload, adopted, wanted)).handler;
}

/** What addresses of `listen` want an entry for. */
export interface WantedProtocols {
  /** Names of session protocols in the order of their numbers. */
  readonly sessions: readonly string[];
  /** False: no address is for HTTP/1.1. */
  readonly http: boolean;
}

const HTTP_ALONE: WantedProtocols = { sessions: [], http: true };

export interface LoadedHandler {
  readonly handler: Handler;
  /** Who takes upgrades; the handler knows already. Null: nobody. */
  readonly upgrades: UpgradeTarget | null;
}

/**
 * The same for a module.
 * @throws EntryError
 */
export async function loadApplication(
  entry: string,
  offload: FileOffload | null = null,
  adopted: AdoptedServers | null = null,
  wanted: WantedProtocols = HTTP_ALONE,
): Promise<LoadedHandler> {
  const path = pathOf(entry);
  const module = (await loaded(entry, () => import(pathToFileURL(path).href))) as Exports;
  const exported = wanted.sessions.length > 0 ? await declaredIn(module, 'protocols') : undefined;
  const sessions = protocolsOf(exported, wanted.sessions, entry);
  if (!wanted.http) return { handler: { ...NO_HTTP, sessions }, upgrades: null };
  const shape = await handlerOf(module, entry, offload, adopted);
  const own = adopted?.any !== true || shape === adopted ? shape : adopted.besides(shape);
  const target = upgradeTargetOf(module, (await settledExport(module)).value, adopted);
  const handler: Handler = target === null ? own : new UpgradingHandler(own, target);
  handler.sessions = sessions;
  try {
    handler.deadlines = RouteDeadlines.from(await declaredIn(module, 'deadlines'));
    handler.lengthy = LengthyRoutes.from(await declaredIn(module, 'lengthy'));
  } catch (cause) {
    const { message } = cause as Error;
    throw new EntryError('ERR_MPM_ENTRY_SHAPE', `${entry}: ${message}`, { cause });
  }
  return { handler, upgrades: target };
}

/** Of an application that has session protocols alone. */
const NO_HTTP: Handler = {
  kind: 'sessions',
  handle: () => {
    throw new Error('no address is for HTTP');
  },
};

/** `export const` of that name, or the same on the default export. */
async function declaredIn(
  module: Exports,
  name: 'deadlines' | 'lengthy' | 'protocols',
): Promise<unknown> {
  if (module[name] !== undefined) return module[name];
  const { value } = await settledExport(module);
  const holds = (typeof value === 'object' || typeof value === 'function') && value !== null;
  // Its own: a router may have a method of any name.
  return holds && Object.hasOwn(value, name) ? (value as Record<string, unknown>)[name] : undefined;
}

/**
 * Runs a script as `node` would, and serves the http.Servers that it has listen.
 * @param parameters what follows the script on the command line
 * @param child number of this worker
 * @throws EntryError, with ERR_MPM_NO_LISTEN where nothing listens within a minute
 */
export async function loadScript(
  entry: string,
  parameters: readonly string[],
  child: number,
  adopted: AdoptedServers,
): Promise<Handler> {
  const path = pathOf(entry);
  if (isFolder(path, entry)) {
    throw new EntryError('ERR_MPM_ENTRY_SHAPE', `${entry} is a folder, not a script; serve it`);
  }
  await loaded(entry, () => runScript(path, parameters, child));
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      const message = `${entry} has no http.Server listen after ${LISTEN_DEADLINE_MS / 1000} s`;
      reject(new EntryError('ERR_MPM_NO_LISTEN', message));
    }, LISTEN_DEADLINE_MS);
  });
  await Promise.race([adopted.first(), late]).finally(() => clearTimeout(timer));
  // Whatever else it has listen in the same turn is there before its first request.
  await new Promise((done) => setImmediate(done));
  return new UpgradingHandler(adopted, adoptedTarget(adopted));
}

const pathOf = (entry: string): string =>
  entry.startsWith('file:') ? fileURLToPath(entry) : resolve(entry);

function isFolder(path: string, entry: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch (cause) {
    throw new EntryError('ERR_MPM_ENTRY_NOT_FOUND', `Entry not found: ${entry} (${path})`, {
      cause,
    });
  }
}

async function loaded<T>(entry: string, load: () => Promise<T>): Promise<T> {
  try {
    return await load();
  } catch (cause) {
    if (isTypeScript(entry) && isUnknownExtension(cause)) {
      throw new EntryError(
        'ERR_MPM_ENTRY_TYPESCRIPT',
        `${entry} is TypeScript, which Node ${process.version} does not run: use Node 22.18 or later, or compile it to JavaScript`,
        { cause },
      );
    }
    throw new EntryError('ERR_MPM_ENTRY_FAILED', failedMessage(entry, cause), { cause });
  }
}

const isUnknownExtension = (error: unknown): boolean =>
  (error as { code?: unknown } | null)?.code === 'ERR_UNKNOWN_FILE_EXTENSION';

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
