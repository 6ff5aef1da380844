// What a message through a tunnel of the reverse proxy costs: an echo there and back, beside nginx.
// `node bench/tunnels.mjs --help` lists the options; bench/README.md says what the figures mean.
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { freePort, host } from './lib/loopback.mjs';
import { describeMachine } from './lib/machine.mjs';
import { number, UsageError } from './lib/options.mjs';
import { treeCpuUs } from './lib/proc-tree.mjs';
import { start, stop } from './lib/processes.mjs';
import { scratchFolder } from './lib/scratch.mjs';
import { median } from './lib/stats.mjs';

const usage = `node bench/tunnels.mjs [options]
  --connections N   tunnels, each with one message under way (16)
  --bytes N         of a message (32)
  --messages N      a round (40000)
  --rounds N        servers interleaved, the median is reported (3)
  --beside FOLDER   another build of hybrid-mpm: its dist
  --help`;

const root = new URL('../', import.meta.url);
const pathOf = (name) => fileURLToPath(new URL(name, root));
const startTimeoutMs = 20_000;
const roundTimeoutMs = 120_000;
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

function parse(argv) {
  let values;
  try {
    ({ values } = parseArgs({
      args: argv,
      options: {
        connections: { type: 'string', default: '16' },
        bytes: { type: 'string', default: '32' },
        messages: { type: 'string', default: '40000' },
        rounds: { type: 'string', default: '3' },
        beside: { type: 'string' },
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
    connections: whole('connections', 1, 1000),
    bytes: whole('bytes', 1, 10_000_000),
    messages: whole('messages', 1, 10_000_000),
    rounds: whole('rounds', 1, 99),
    beside: values.beside,
  };
}

function startHybrid(dist, port, upstream) {
  const flags = ['--start-servers=2', '--max-request-workers=2', '--admin=off'];
  return start(process.execPath, [
    ...[join(resolve(dist), 'main/cli.js'), 'serve', pathOf('examples/hello.mjs')],
    ...[`--listen=${host}:${port}`, `--proxy=/=http://${host}:${upstream}`, ...flags],
  ]);
}

function startNginx(folder, port, upstream) {
  const own = join(folder, 'nginx');
  mkdirSync(own);
  const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
  const temporary = paths.map((name) => `${name}_temp_path ${own}/${name};`).join('\n');
  const file = join(own, 'nginx.conf');
  const text = `worker_processes 2; daemon off; pid ${own}/pid; error_log ${own}/error.log;
events { worker_connections 4096; }
http { access_log off; ${temporary}
  server { listen ${host}:${port}; location / {
    proxy_pass http://${host}:${upstream}; proxy_http_version 1.1;
    proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;
  } } }
`;
  writeFileSync(file, text);
  return start('nginx', ['-e', join(own, 'error.log'), '-c', file]);
}

/** One round against a server; microseconds of its processor time a message. */
async function measure({ running, port }, { connections, bytes, messages }) {
  const parameters = [port, connections, bytes, messages].map(String);
  const client = start(process.execPath, [pathOf('bench/tunnels/client.mjs'), ...parameters], {
    ipc: true,
  });
  const told = async (what) => {
    const late = AbortSignal.timeout(roundTimeoutMs);
    const gone = client.exited.then(() => {
      throw new Error(`the client ended: ${client.output()}`);
    });
    const [said] = await Promise.race([once(client.child, 'message', { signal: late }), gone]);
    if (said !== what) throw new Error(`the client said ${said}`);
  };
  await told('ready');
  const [cpuBefore, began] = [treeCpuUs(running.pid), performance.now()];
  client.child.send('begin');
  await told('done');
  const tookMs = performance.now() - began;
  const cpuUs = treeCpuUs(running.pid) - cpuBefore;
  await stop(client);
  return { us: cpuUs / messages, perSecond: (messages / tookMs) * 1000 };
}

async function listening(port, running) {
  const end = performance.now() + startTimeoutMs;
  for (;;) {
    if (running.ended !== undefined) return false;
    const answered = await fetch(`http://${host}:${port}/`, { signal: AbortSignal.timeout(200) })
      // The upstream answers 101 to whatever it is asked; that somebody passes it on is enough.
      .then(() => true)
      .catch((error) => error.cause?.code !== 'ECONNREFUSED');
    if (answered) return true;
    if (performance.now() > end) throw new Error(`nobody listens: ${running.output()}`);
    await sleep(50);
  }
}

async function main() {
  const options = parse(process.argv.slice(2));
  if (options.help) {
    process.stdout.write(`${usage}\n`);
    return;
  }
  const folder = scratchFolder();
  const upstream = await freePort();
  const echo = start(process.execPath, [pathOf('bench/tunnels/upstream.mjs'), String(upstream)]);
  const servers = [];
  const add = async (name, starts) => {
    const port = await freePort();
    const running = starts(port);
    if (await listening(port, running)) servers.push({ name, port, running, results: [] });
    else process.stderr.write(`${name} is left out: ${running.output().trim()}\n`);
  };
  await add('hybrid-mpm', (port) => startHybrid(pathOf('dist'), port, upstream));
  if (options.beside !== undefined) {
    await add('beside', (port) => startHybrid(options.beside, port, upstream));
  }
  await add('nginx', (port) => startNginx(folder, port, upstream));
  const { cores, cpu, kernel, node } = describeMachine();
  process.stdout.write(`${cores} x ${cpu}, Linux ${kernel}, Node ${node}\n`);
  // Every JavaScript server still compiles at first.
  for (const server of servers) await measure(server, { ...options, messages: 10_000 });
  for (let round = 0; round < options.rounds; round++) {
    for (const server of servers) server.results.push(await measure(server, options));
  }
  for (const { name, results } of servers) {
    const us = results.map((result) => result.us.toFixed(1)).join(' ');
    const rate = median(results.map(({ perSecond }) => perSecond)).toFixed(0);
    const middle = median(results.map((result) => result.us)).toFixed(1);
    process.stdout.write(`${name}: ${middle} us of CPU an echo (${us}), ${rate} echoes/s\n`);
  }
  for (const { running } of servers) await stop(running);
  await stop(echo);
}

main().catch((error) => {
  process.stderr.write(
    `${error instanceof UsageError ? `${error.message}\n${usage}` : error.stack}\n`,
  );
  process.exitCode = 1;
});
