/**
 * The server as its users have it: the built command line in a process of its own.
 *
 * It listens on ports the kernel chooses, which are read from what it prints.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const CLI = fileURLToPath(new URL('../../dist/main/cli.js', import.meta.url));
const START_DEADLINE_MS = 20_000;

export interface ServerProcess {
  readonly process: ChildProcess;
  readonly port: number;
  readonly adminPort: number;
  /** All it printed, both streams. */
  output(): string;
  /** Waits until it has printed `text`, which may come after the response it is about; all it printed. */
  prints(text: string | RegExp, deadlineMs?: number): Promise<string>;
  /** Sends a signal and waits for the end; the exit code, or the signal's name. */
  stop(signal?: NodeJS.Signals): Promise<number | string>;
  readonly exited: Promise<number | string>;
}

/** Path of a handler under test/fixtures. */
export const fixture = (name: string): string =>
  fileURLToPath(new URL(`../fixtures/${name}`, import.meta.url));

/** Starts `serve entry` with flags; fails with what it printed if it ends or stays silent. */
export function startServer(entry: string, flags: readonly string[] = []): Promise<ServerProcess> {
  return start(['serve', entry, '--listen', '127.0.0.1:0', '--admin', '127.0.0.1:0', ...flags]);
}

/** The same where the only address is for a session protocol of the entry. */
export function startSessions(
  entry: string,
  protocol: string,
  flags: readonly string[] = [],
  environment: NodeJS.ProcessEnv = {},
): Promise<ServerProcess> {
  const own = ['--listen', `127.0.0.1:0 ${protocol}`, '--admin', '127.0.0.1:0', ...flags];
  return start(['serve', entry, ...own], environment);
}

/** The same with `run`; the script says where it listens. */
export function runScript(
  entry: string,
  flags: readonly string[] = [],
  parameters: readonly string[] = [],
  environment: NodeJS.ProcessEnv = {},
): Promise<ServerProcess> {
  const own = ['run', '--admin', '127.0.0.1:0', ...flags, entry, '--', ...parameters];
  return start(own, environment);
}

async function start(
  parameters: readonly string[],
  environment: NodeJS.ProcessEnv = {},
): Promise<ServerProcess> {
  const child = spawn(process.execPath, [CLI, ...parameters], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...environment },
  });
  let output = '';
  let changed: () => void = () => {};
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
      changed();
    });
  }
  const exited = new Promise<number | string>((resolve) => {
    // Not `exit`: what it printed last may come after that.
    child.on('close', (code, signal) => {
      resolve(code ?? signal ?? -1);
      changed();
    });
  });
  const end = performance.now() + START_DEADLINE_MS;
  for (;;) {
    const port = /listening on [a-z][a-z0-9-]*:\/\/(?:127\.0\.0\.1|\[::\]):(\d+)/.exec(output)?.[1];
    const admin = /status on http:\/\/127\.0\.0\.1:(\d+)/.exec(output)?.[1];
    if (port !== undefined && admin !== undefined) {
      return {
        process: child,
        port: Number(port),
        adminPort: Number(admin),
        output: () => output,
        prints: (text, deadlineMs) => eventually(() => output, holding(text), deadlineMs),
        exited,
        stop: async (signal = 'SIGTERM') => {
          child.kill(signal);
          return exited;
        },
      };
    }
    const left = end - performance.now();
    if (left <= 0 || child.exitCode !== null) {
      child.kill('SIGKILL');
      throw new Error(`the server did not start: ${output}`);
    }
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, left);
      changed = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

const holding =
  (text: string | RegExp) =>
  (output: string): boolean =>
    typeof text === 'string' ? output.includes(text) : text.test(output);

/** Keys of /server-status?auto. */
export async function statusOf(server: ServerProcess): Promise<ReadonlyMap<string, string>> {
  const response = await fetch(`http://127.0.0.1:${server.adminPort}/server-status?auto`, {
    signal: AbortSignal.timeout(5_000),
  });
  const entries = (await response.text())
    .split('\n')
    .map((line) => /^([^:]+): (.*)$/.exec(line))
    .filter((match) => match !== null)
    .map((match) => [match[1] as string, match[2] as string] as const);
  return new Map(entries);
}

/** Asks until `holds` does; fails with the last answer at the deadline. */
export async function eventually<T>(
  ask: () => Promise<T> | T,
  holds: (answer: T) => boolean,
  deadlineMs = 10_000,
): Promise<T> {
  const end = performance.now() + deadlineMs;
  for (;;) {
    const answer = await ask();
    if (holds(answer)) return answer;
    if (performance.now() > end) throw new Error(`still ${JSON.stringify(answer)}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
