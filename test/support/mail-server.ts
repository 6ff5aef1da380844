/** examples/mail as its users have it: the built command line, with a port of each protocol. */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const CLI = fileURLToPath(new URL('../../dist/main/cli.js', import.meta.url));
const ENTRY = fileURLToPath(new URL('../../examples/mail/app.mjs', import.meta.url));
const START_DEADLINE_MS = 20_000;

export interface MailServer {
  readonly smtp: number;
  readonly imap: number;
  readonly adminPort: number;
  /** Where the mailboxes are. */
  readonly root: string;
  output(): string;
  /** Has it stop, without waiting for it. */
  beginStop(): void;
  /** Ends it and takes its mailboxes away; the exit code. */
  stop(): Promise<number | string>;
}

/** Two workers and the users alice and bob, unless the parameters say otherwise. */
export async function startMailServer(
  flags: readonly string[] = [],
  environment: NodeJS.ProcessEnv = {},
  workerCount = 2,
): Promise<MailServer> {
  const root = mkdtempSync(join(tmpdir(), 'mail-'));
  const listens = ['smtp', 'imap'].flatMap((name) => ['--listen', `127.0.0.1:0 ${name}`]);
  const workers = [`--start-servers=${workerCount}`, `--max-request-workers=${workerCount}`];
  const child = spawn(
    process.execPath,
    [CLI, 'serve', ENTRY, ...listens, '--admin', '127.0.0.1:0', ...workers, ...flags],
    {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, MAIL_ROOT: root, MAIL_SYNC: 'off', ...environment },
    },
  );
  let output = '';
  let changed: () => void = () => {};
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
      changed();
    });
  }
  const exited = new Promise<number | string>((resolve) => {
    child.on('exit', (code, signal) => {
      resolve(code ?? signal ?? -1);
      changed();
    });
  });
  const portOf = (name: string) =>
    Number(new RegExp(`(?:on|status on) ${name}://127\\.0\\.0\\.1:(\\d+)`).exec(output)?.[1]);
  const end = performance.now() + START_DEADLINE_MS;
  while (!(portOf('smtp') > 0 && portOf('imap') > 0 && portOf('http') > 0)) {
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
  let isStopping = false;
  const beginStop = () => {
    // A second signal would end it at once.
    if (!isStopping) child.kill('SIGTERM');
    isStopping = true;
  };
  return {
    ...{ smtp: portOf('smtp'), imap: portOf('imap'), adminPort: portOf('http'), root },
    output: () => output,
    beginStop,
    async stop() {
      beginStop();
      const code = await exited;
      rmSync(root, { recursive: true, force: true });
      return code;
    },
  };
}
