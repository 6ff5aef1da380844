// What an IMAP connection costs that idles, and how soon it hears of a mail: examples/mail on 2 workers.
// `node bench/idle-imap.mjs --help` lists the options; bench/README.md says what the figures mean.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { startClient } from './lib/clients.mjs';
import { freePort, host } from './lib/loopback.mjs';
import { describeMachine } from './lib/machine.mjs';
import { number, UsageError } from './lib/options.mjs';
import { largeMappings, treeHoldings } from './lib/proc-memory.mjs';
import { treeCpuUs } from './lib/proc-tree.mjs';
import { start, stop } from './lib/processes.mjs';
import { scratchFolder } from './lib/scratch.mjs';
import { readServerStatus } from './lib/server-status.mjs';

const usage = `node bench/idle-imap.mjs [options]
  --connections N   IMAP connections in IDLE (5000)
  --mailboxes N     over which they are spread, each told of a mail to its own (500)
  --rate N          mails a second by SMTP (100)
  --seconds S       for so long (10)
  --help`;

const root = new URL('../', import.meta.url);
const pathOf = (name) => fileURLToPath(new URL(name, root));
const workers = 2;
/** The workers, the listener's and the status page's. */
const threads = workers + 2;
const senders = 4;
/** Of the warm-up: enough for every worker to know every mailbox. */
const warm = 500;
const startTimeoutMs = 30_000;
const commandTimeoutMs = 300_000;
const settleMs = 1000;
const maxSettleMs = 10_000;
const steadyBytes = 64 * 1024;
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

function parse(argv) {
  let values;
  try {
    ({ values } = parseArgs({
      args: argv,
      options: {
        connections: { type: 'string', default: '5000' },
        mailboxes: { type: 'string', default: '500' },
        rate: { type: 'string', default: '100' },
        seconds: { type: 'string', default: '10' },
        help: { type: 'boolean', default: false },
      },
    }));
  } catch (error) {
    throw new UsageError(error.message);
  }
  const whole = (flag, minimum, maximum) => {
    const value = number(values[flag], flag, minimum, maximum);
    if (!Number.isInteger(value)) throw new UsageError(`--${flag} must be a whole number`);
    return value;
  };
  return {
    help: values.help,
    connections: whole('connections', warm + 1, 18_000),
    mailboxes: whole('mailboxes', 1, 500),
    rate: whole('rate', 1, 2000),
    seconds: whole('seconds', 1, 300),
  };
}

async function startServer({ mailboxes }) {
  const folder = join(scratchFolder(), 'mail');
  mkdirSync(folder);
  const [smtpPort, imapPort, adminPort] = [await freePort(), await freePort(), await freePort()];
  const flags = {
    admin: `${host}:${adminPort}`,
    'start-servers': workers,
    'max-request-workers': workers,
    'listen-backlog': 4096,
  };
  const listens = Object.entries({ smtp: smtpPort, imap: imapPort }).map(
    ([name, port]) => `${host}:${port} ${name}`,
  );
  const running = start(
    process.execPath,
    [
      ...[pathOf('dist/main/cli.js'), 'serve', pathOf('examples/mail/app.mjs')],
      ...listens.flatMap((listen) => ['--listen', listen]),
      ...Object.entries(flags).flatMap(([flag, value]) => [`--${flag}`, String(value)]),
    ],
    {
      cwd: folder,
      keepAllOutput: true,
      env: {
        // A young generation grows and shrinks by more than all sessions together cost.
        NODE_OPTIONS: `--max-semi-space-size=1 --import ${new URL('idle-imap/collect-garbage.mjs', import.meta.url)}`,
        MAIL_ROOT: folder,
        MAIL_SYNC: 'off',
        MAIL_USERS: Array.from({ length: mailboxes }, (_, index) => `u${index}:p`).join(','),
      },
    },
  );
  const deadline = Date.now() + startTimeoutMs;
  while (!running.output().includes('status on')) {
    if (running.ended !== undefined || Date.now() > deadline) {
      throw new Error(`the server did not start: ${running.output().slice(-500)}`);
    }
    await sleep(50);
  }
  return { running, smtpPort, imapPort, adminPort };
}

/** Has every thread of the server collect its garbage; how many bytes their heaps then hold in vain, and in objects. */
async function collectGarbage(running) {
  const lines = () => [...running.output().matchAll(/free in the heap: (\d+); objects: (\d+)\n/g)];
  const before = lines().length;
  const deadline = Date.now() + maxSettleMs;
  process.kill(running.pid, 'SIGURG');
  while (lines().length < before + threads) {
    if (Date.now() > deadline)
      throw new Error('a thread of the server does not collect its garbage');
    await sleep(50);
  }
  // The pages go back to the system a little later.
  await sleep(settleMs);
  const sum = (group) =>
    lines()
      .slice(before)
      .reduce((bytes, match) => bytes + Number(match[group]), 0);
  return { free: sum(1), objects: sum(2) };
}

/** Waits until the memory in use has stopped moving, for a bounded time; returns it. */
async function settledMemory(running) {
  const deadline = Date.now() + maxSettleMs;
  for (let last = Number.POSITIVE_INFINITY; ; ) {
    const { free, objects } = await collectGarbage(running);
    const pss = treeHoldings(running.pid).pssAnon - free;
    if (Math.abs(pss - last) < steadyBytes || Date.now() > deadline) return { pss, objects };
    last = pss;
  }
}

/** Of mappings that are in both readings. */
function growth(before, after) {
  let bytes = 0;
  for (const [range, held] of after) bytes += held - (before.get(range) ?? held);
  return bytes;
}

async function main(options) {
  const { connections, mailboxes, rate, seconds } = options;
  const { running, adminPort, ...ports } = await startServer(options);
  const parameters = { host, connections, warm, mailboxes, senders, ...ports };
  const client = startClient('../idle-imap/client.mjs', parameters);
  try {
    await client.ask('warmUp', commandTimeoutMs);
    const none = await settledMemory(running);
    const mappings = largeMappings(running.pid);
    await client.ask('open', commandTimeoutMs);
    const all = await settledMemory(running);
    const shared = growth(mappings, largeMappings(running.pid));
    const idle = await readServerStatus(adminPort);
    const cpuBefore = treeCpuUs(running.pid);
    const told = await client.ask(
      ['notify', { count: rate * seconds, perSecond: rate }],
      commandTimeoutMs,
    );
    const cpuUs = treeCpuUs(running.pid) - cpuBefore;
    const after = await settledMemory(running);
    // The warm-up's slots and data were touched before.
    const each = (bytes) => Math.round(bytes / (connections - warm));
    console.log(
      JSON.stringify(
        {
          ...{ machine: describeMachine(), connections, mailboxes, rate, seconds },
          sharedBytesEach: each(shared),
          objectBytesEach: each(all.objects - none.objects),
          bytesEach: each(shared + all.objects - none.objects),
          bytesEachAfter: each(shared + after.objects - none.objects),
          pssBytesEach: each(all.pss - none.pss),
          busyWorkersIdle: idle.BusyWorkers,
          ...told,
          cpuPercent: Math.round(cpuUs / (seconds * 10_000)),
          cpuUsPerMail: Math.round(cpuUs / (rate * seconds)),
        },
        null,
        2,
      ),
    );
    if (told.missed > 0 || told.lost > 0 || told.refused > 0) process.exitCode = 1;
    await client.ask('close', commandTimeoutMs);
  } finally {
    await client.stop();
    await stop(running);
  }
}

try {
  const options = parse(process.argv.slice(2));
  if (options.help) console.log(usage);
  else await main(options);
} catch (error) {
  process.exitCode = 1;
  const isUsage = error instanceof UsageError;
  process.stderr.write(isUsage ? `${error.message}\n\n${usage}\n` : `${error.stack ?? error}\n`);
}
