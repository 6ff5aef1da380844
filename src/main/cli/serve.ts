/**
 * `hybrid-mpm serve`: starts the server and ends it by signals.
 *
 * Role: prints where it listens, turns signals into a drain or a forced stop, turns errors into one
 * line and an exit code.
 * Thread: main. May not: know how the server works; src/main/server.ts is all it sees.
 */
import { stat } from 'node:fs/promises';
import { constants } from 'node:os';
import { resolve } from 'node:path';
import { inspect } from 'node:util';
import { ConfigError, type Directives } from '../config/directives.ts';
import { formatDuration, formatHostPort } from '../config/kinds.ts';
import type {
  createServer,
  InheritedSocket,
  ListenAddress,
  MpmServer,
  Reloaded,
  ScriptOptions,
} from '../server.ts';
import { whyNoEpoll } from '../single-thread/why.ts';
import { WatchMode } from './watch.ts';

/** What a process may do; an argument, so that tests need no process. */
export interface Shell {
  readonly print: (line: string) => void;
  readonly complain: (line: string) => void;
  readonly exit: (code: number) => void;
  readonly onSignal: (signal: NodeJS.Signals, handler: (signal: NodeJS.Signals) => void) => void;
}

/** Whoever started the process and wants to know how it is; see service-manager.ts. */
export interface Manager {
  ready(status: string): void;
  reloading(): void;
  stopping(status: string): void;
}
const NOBODY: Manager = { ready() {}, reloading() {}, stopping() {} };

/** The server could not start or go on, or the configuration is invalid. */
export const EXIT_FAILED = 1;
/** EX_SOFTWARE of sysexits.h: a defect of the server itself. */
export const EXIT_DEFECT = 70;

/** After a forced stop, milliseconds; then the process ends whatever the server does. */
const FORCED_END_MS = 2000;

/** What of src/main/server.ts is used. */
export interface ServerModule {
  readonly createServer: typeof createServer;
}
/** Only when it is needed: --help and check-config work where the native part was not built. */
const loadServer = async (): Promise<ServerModule> => {
  if (whyNoEpoll() === null) return import('../server.ts');
  const { createSingleThreadServer } = await import('../single-thread/server.ts');
  return { createServer: createSingleThreadServer };
};

const url = (address: ListenAddress): string =>
  `${address.protocol ?? 'http'}://${formatHostPort(address)}`;

/** An error with a code as one line: the code, unless the message begins with it, and the message. */
export function errorLine(error: Error & { readonly code: string }): string {
  const message = error.message.trim().replace(/\s*\n\s*/g, ' | ');
  return message.startsWith(error.code) ? message : `${error.code}: ${message}`;
}

const isCoded = (error: unknown): error is Error & { readonly code: string } =>
  error instanceof Error && 'code' in error && typeof error.code === 'string';

/** The end after an error: a line for an operating fault, which has a code, and a stack for a defect. */
export function fail(error: unknown, shell: Shell): void {
  shell.complain(isCoded(error) ? errorLine(error) : `ERR_MPM_DEFECT: ${inspect(error)}`);
  shell.exit(isCoded(error) ? EXIT_FAILED : EXIT_DEFECT);
}

/** SIGTERM and SIGINT: the first drains and ends with 0, the second forces and ends with 128 + n. */
function endBySignals(
  server: () => MpmServer | null,
  directives: Directives,
  manager: Manager,
  shell: Shell,
) {
  const ending = { begun: false, code: 0 };
  const end = (promise: Promise<void>) =>
    promise.then(
      // Both signals wait for one and the same end, and the last one names it.
      () => shell.exit(ending.code),
      (error: unknown) => fail(error, shell),
    );
  const onSignal = (signal: NodeJS.Signals) => {
    const current = server();
    // Nothing serves while a change is waited for.
    if (current === null) return shell.exit(0);
    if (!ending.begun) {
      ending.begun = true;
      const { drainDelayMs: delay, gracefulShutdownTimeoutMs: bound } = directives;
      const after = delay === 0 ? '' : ` serving on for ${formatDuration(delay)}, then`;
      const within = bound === 0 ? '' : ` within ${formatDuration(bound)}`;
      shell.print(`${signal}:${after} finishing requests${within}; once more ends at once`);
      manager.stopping('finishing requests');
      void end(current.close());
      return;
    }
    ending.code = 128 + constants.signals[signal];
    shell.print(`${signal}: ending at once`);
    manager.stopping('ending at once');
    void end(current.close({ force: true }));
    // A stop that was forced must not depend on the part that may be stuck.
    setTimeout(() => shell.exit(ending.code), FORCED_END_MS);
  };
  shell.onSignal('SIGTERM', onSignal);
  shell.onSignal('SIGINT', onSignal);
  return ending;
}

/** Reads the configuration anew, from wherever it was read at the start. */
export type LoadDirectives = () => Promise<Directives>;

/** What went wrong, as the lines that it takes. */
const linesOf = (error: unknown): readonly string[] => {
  if (error instanceof ConfigError) return error.lines;
  return [isCoded(error) ? errorLine(error) : inspect(error)];
};

/** What a reload did, in one line. */
function reloadLine({ applied, restarted, kept }: Reloaded): string {
  const parts = [
    applied.length > 0 ? `changed: ${applied.join(', ')}` : '',
    restarted.length > 0 ? `changed with new workers: ${restarted.join(', ')}` : '',
    kept.length > 0 ? `kept until the server is started anew: ${kept.join(', ')}` : '',
  ].filter((part) => part !== '');
  return parts.length === 0 ? 'reloaded, nothing has changed' : `reloaded; ${parts.join('; ')}`;
}

/** SIGHUP reloads, SIGUSR2 restarts the workers, SIGTTIN and SIGTTOU ask for one more and one fewer. */
function heedOtherSignals(
  current: () => MpmServer,
  load: LoadDirectives,
  manager: Manager,
  shell: Shell,
): void {
  let reloading = Promise.resolve();
  const attempt = (act: () => void, refused: string): boolean => {
    try {
      act();
      return true;
    } catch (error) {
      for (const line of linesOf(error)) shell.complain(`${refused}: ${line}`);
      return false;
    }
  };
  shell.onSignal('SIGHUP', (signal) => {
    // The logs at once, since whoever has renamed them waits; the rest in turn.
    const reopened = attempt(() => current().reopenLogs(), `${signal} refused`);
    if (!reopened) return;
    reloading = reloading.then(async () => {
      manager.reloading();
      try {
        const line = reloadLine(await current().reload(await load()));
        shell.print(`${signal}: ${line}`);
        manager.ready(line);
      } catch (error) {
        const lines = linesOf(error);
        for (const line of lines) shell.complain(`${signal} refused: ${line}`);
        // It goes on as before, so it is ready.
        manager.ready(`reload refused: ${lines[0]}`);
      }
    });
  });
  shell.onSignal('SIGUSR2', (signal) => {
    shell.print(`${signal}: restarting the workers`);
    void (async () => {
      try {
        await current().restartWorkers();
        shell.print(`${signal}: the workers are new`);
      } catch (error) {
        for (const line of linesOf(error)) {
          shell.complain(`${signal} failed, the old workers go on: ${line}`);
        }
      }
    })();
  });
  const adjust = (by: 1 | -1) => (signal: NodeJS.Signals) => {
    attempt(
      () => shell.print(`${signal}: ${current().adjustWorkers(by)} workers`),
      `${signal} refused`,
    );
  };
  shell.onSignal('SIGTTIN', adjust(1));
  shell.onSignal('SIGTTOU', adjust(-1));
}

/** What is served: a module or folder, or with `script` the servers of a script. */
export interface Served {
  readonly entry: string;
  readonly directives: Directives;
  readonly script?: ScriptOptions | undefined;
  /** Fresh workers whenever a source file changes. */
  readonly watch?: boolean;
  /** Sockets that the process was started with. */
  readonly inherited?: readonly InheritedSocket[];
  readonly manager?: Manager | undefined;
}

/** What a change of the application's code may mend. */
const MENDABLE: readonly string[] = [
  'ERR_MPM_ENTRY_FAILED',
  'ERR_MPM_ENTRY_SHAPE',
  'ERR_MPM_NO_LISTEN',
];
const isMendable = (error: unknown): boolean => isCoded(error) && MENDABLE.includes(error.code);

/**
 * Runs until a signal or a fatal error.
 *
 * @param what the entry is a path, relative to the working directory
 * @param load the server's module; an argument, so that tests need no sockets
 * @param reload the configuration as it is when SIGHUP comes
 */
export async function serve(
  { entry, directives, script, watch = false, inherited = [], manager = NOBODY }: Served,
  version: string,
  shell: Shell,
  load: () => Promise<ServerModule> = loadServer,
  reload: LoadDirectives = async () => directives,
): Promise<void> {
  const path = resolve(entry);
  const found = await stat(path).catch(() => null);
  if (found === null) {
    shell.complain(`ERR_MPM_ENTRY_NOT_FOUND: ${entry} does not exist (${path})`);
    return shell.exit(EXIT_FAILED);
  }
  let server: MpmServer | null = null;
  const ending = endBySignals(() => server, directives, manager, shell);
  const running = (): MpmServer => {
    if (server !== null) return server;
    throw Object.assign(new Error('nothing serves yet'), { code: 'ERR_MPM_NOT_RUNNING' });
  };
  heedOtherSignals(running, reload, manager, shell);
  if (watch && load === loadServer && whyNoEpoll() !== null) {
    const message = '--watch needs workers, which need epoll; use `node --watch`';
    return fail(Object.assign(new Error(message), { code: 'ERR_MPM_NO_EPOLL' }), shell);
  }
  const watching =
    watch && !found.isDirectory() ? new WatchMode(path, { ...shell, linesOf }) : null;
  if (watch && watching === null) {
    shell.print(`watch: the files in ${entry} are served as they are; nothing to restart`);
  }
  let addresses: readonly ListenAddress[] | null = null;
  try {
    await watching?.start();
    const { createServer } = await load();
    const base = { entry: path, directives, inherited };
    const options = script === undefined ? base : { ...base, script };
    while (addresses === null) {
      watching?.forget();
      const made = createServer(options);
      server = made;
      made.on('error', (error: unknown) => fail(error, shell));
      try {
        addresses = await made.listen();
      } catch (error) {
        // A signal during the start ends it; what the start says then is of no use.
        if (ending.begun) return;
        if (watching === null || !isMendable(error)) throw error;
        server = null;
        await watching.changeAfter(error);
      }
    }
  } catch (error) {
    return fail(error, shell);
  }
  if (server === null || ending.begun) return;
  watching?.restarts(server);
  const handler = script === undefined ? 'handler' : 'script';
  const kind = found.isDirectory() ? 'files in' : handler;
  const reason = load === loadServer ? whyNoEpoll() : null;
  if (reason !== null) {
    shell.print(
      `${reason}: one thread over node:http, for development; workers, limits, logs and watching need Linux`,
    );
  }
  const about = `pid ${process.pid}, ${directives.startServers} .. ${directives.maxRequestWorkers} workers, ${kind} ${entry}`;
  for (const address of addresses) {
    shell.print(`hybrid-mpm ${version} listening on ${url(address)} (${about})`);
  }
  manager.ready(`serving on ${addresses.map(url).join(', ')}`);
  const { adminAddress } = server;
  if (adminAddress !== null) shell.print(`status on ${url(adminAddress)}/server-status`);
}
