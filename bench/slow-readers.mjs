// Many clients that read slowly, and what they cost a server and those who share it with them.
// `node bench/slow-readers.mjs --help` lists the options; bench/README.md says what the figures mean.
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { greeting } from './lib/loopback.mjs';
import { describeMachine } from './lib/machine.mjs';
import { names, number, UsageError, withOptionalJson } from './lib/options.mjs';
import { againWithSendBuffers, minSendBuffer, sendBufferHere } from './lib/own-network.mjs';
import { table } from './lib/report.mjs';
import { scratchFolder } from './lib/scratch.mjs';
import { seededBytes } from './lib/seeded.mjs';
import { compileClient } from './slow-readers/client.mjs';
import { measure } from './slow-readers/measure.mjs';
import { bodyName, kinds, lightName, targets } from './slow-readers/targets.mjs';
import { fixed, ms, whole } from './workloads/columns.mjs';

const usage = `node bench/slow-readers.mjs [options]
  --server a,b      of hybrid, nginx, node-cluster, haproxy (hybrid)
  --kind a,b        of file, bytes, stream, proxied (file); nginx has file and proxied, haproxy proxied
  --clients N       slow readers at the same time (1000)
  --rate N          bytes a second that each of them reads (20000)
  --size N          bytes of the body (1048576)
  --send-buffer N   bytes that a socket of the server may hold (65536); 0: as the kernel has it
  --spilled N       limitSpilledBody of hybrid as a proxy, bytes (0: its default)
  --unloaded S      seconds of light requests alone (5)
  --json [FILE]     write JSON to FILE; without FILE to stdout, and the table to stderr
  --help
The slow part lasts size / rate seconds for each server and kind.`;

const seed = 20_260_104;
const mb = 1024 * 1024;
const say = (text) => process.stderr.write(`${text}\n`);
const inKb = (value) => (value / 1024).toFixed(1);
const inMb = (value) => (value / mb).toFixed(1);
const columns = [
  { key: 'right', heading: 'bodies right', format: whole },
  { key: 'wrong', heading: 'wrong', format: whole },
  { key: 'seconds', heading: 's', format: fixed(1) },
  { key: 'p50BeforeMs', heading: 'light p50 before, ms', format: ms },
  { key: 'p50FreeingMs', heading: 'until the upstream is free', format: ms },
  { key: 'p50Ms', heading: 'during', format: ms },
  { key: 'p99BeforeMs', heading: 'p99 before, ms', format: ms },
  { key: 'p99FreeingMs', heading: 'until the upstream is free', format: ms },
  { key: 'p99Ms', heading: 'during', format: ms },
  { key: 'lightFailed', heading: 'light failed', format: whole },
  { key: 'askedWithinMs', heading: 'upstream: asked within, ms', format: whole },
  { key: 'freeAfterMs', heading: 'all taken after the last, ms', format: whole },
  { key: 'heldMeanMs', heading: 'a response takes, ms', format: whole },
  { key: 'heldMostMs', heading: 'longest', format: whole },
  { key: 'mostUnderWay', heading: 'most under way', format: whole },
  { key: 'upstreamCutOff', heading: 'cut off', format: whole },
  { key: 'coresDuring', heading: 'cores during', format: fixed(3) },
  { key: 'listenerCores', heading: 'of them the listener', format: fixed(3) },
  { key: 'workerCores', heading: 'all other threads', format: fixed(3) },
  { key: 'spilledMax', heading: 'spilled, MB', format: inMb },
  { key: 'spilledAfter', heading: 'afterwards, bytes', format: whole },
  { key: 'busyMean', heading: 'busy workers, mean', format: fixed(2) },
  { key: 'busyMax', heading: 'most', format: whole },
  { key: 'cpuS', heading: 'server CPU s', format: fixed(2) },
  { key: 'pssBefore', heading: 'PSS before, MB', format: inMb },
  { key: 'pssPeak', heading: 'peak', format: inMb },
  { key: 'pssEach', heading: 'KB each', format: inKb },
  { key: 'pssShmemEach', heading: 'mapped shmem, KB each', format: inKb },
  { key: 'unlinkedEach', heading: 'memfd, KB each', format: inKb },
  { key: 'machineShmemEach', heading: 'machine: Shmem, KB each', format: inKb },
  { key: 'machineTcpEach', heading: 'TCP, KB each', format: inKb },
  { key: 'descriptorsBefore', heading: 'descriptors before', format: whole },
  { key: 'descriptorsPeak', heading: 'peak', format: whole },
  { key: 'descriptorsAfter', heading: 'after', format: whole },
];

function parse(argv) {
  let values;
  try {
    ({ values } = parseArgs({
      args: withOptionalJson(argv),
      options: {
        server: { type: 'string', default: 'hybrid' },
        kind: { type: 'string', default: 'file' },
        clients: { type: 'string', default: '1000' },
        rate: { type: 'string', default: '20000' },
        size: { type: 'string', default: String(mb) },
        'send-buffer': { type: 'string', default: '65536' },
        spilled: { type: 'string', default: '0' },
        unloaded: { type: 'string', default: '5' },
        json: { type: 'string' },
        help: { type: 'boolean', default: false },
      },
    }));
  } catch (error) {
    throw new UsageError(error.message);
  }
  const wholeNumber = (flag, minimum, maximum) => {
    const value = number(values[flag], flag, minimum, maximum);
    if (!Number.isInteger(value)) throw new UsageError(`--${flag} must be a whole number`);
    return value;
  };
  const serverNames = [...new Set(targets.map(({ name }) => name))];
  const size = wholeNumber('size', 1, 64 * mb);
  const rate = wholeNumber('rate', 100, 1e9);
  const seconds = size / rate;
  if (seconds > 600)
    throw new UsageError(`--size / --rate is ${seconds.toFixed(0)} s; at most 600`);
  const sendBuffer = wholeNumber('send-buffer', 0, 4 * mb);
  if (sendBuffer > 0 && sendBuffer < minSendBuffer) {
    throw new UsageError(`--send-buffer must be 0 or at least ${minSendBuffer}`);
  }
  return {
    help: values.help,
    json: values.json,
    servers: names(values.server, serverNames, 'server'),
    kinds: names(values.kind, kinds, 'kind'),
    clients: wholeNumber('clients', 1, 8000),
    rate,
    size,
    sendBuffer,
    limitSpilledBody: wholeNumber('spilled', 0, 2 ** 40),
    warmUpMs: 1000,
    unloadedMs: number(values.unloaded, 'unloaded', 0.5, 60) * 1000,
    // A server that is too slow for the rate is not waited for without end.
    deadlineS: Math.ceil(seconds * 2) + 20,
  };
}

/** A folder with the body and the light response, readable for servers that run as another user. */
function makeFolder(tempDir, size) {
  const folder = join(tempDir, 'files');
  mkdirSync(folder);
  chmodSync(folder, 0o755);
  const files = [
    [bodyName, seededBytes(size, seed)],
    [lightName, greeting],
  ];
  for (const [name, content] of files) {
    writeFileSync(join(folder, name), content);
    chmodSync(join(folder, name), 0o644);
  }
  return folder;
}

async function main(options) {
  const tempDir = scratchFolder();
  const folder = makeFolder(tempDir, options.size);
  const program = compileClient(tempDir);
  const machine = describeMachine();
  const rows = [];
  const planned = options.kinds.flatMap((kind) =>
    targets
      .filter((target) => options.servers.includes(target.name) && target.kinds.includes(kind))
      .map((target) => ({ kind, target })),
  );
  for (const { kind, target } of planned) {
    const label = `${target.name} ${kind}`;
    const { missing } = target.probe();
    if (missing !== undefined) {
      say(`${label}: left out: ${missing}`);
      continue;
    }
    say(`${label}: about ${Math.ceil(options.size / options.rate + options.unloadedMs / 1000)} s`);
    try {
      const figures = await measure({
        ...{ target, kind, options, tempDir, folder, program },
        bodyFile: join(folder, bodyName),
      });
      rows.push({ server: target.name, kind, ...figures });
      if (figures.wrong > 0) {
        process.exitCode = 1;
        say(`FAILED ${label}: ${JSON.stringify(figures.wrongBy)}`);
      }
    } catch (error) {
      process.exitCode = 1;
      say(`FAILED ${label}: ${error.message}`);
    }
  }
  const shown = columns.filter(({ key }) => rows.some((row) => row[key] !== undefined));
  const cells = rows.map((row) => [
    `${row.server} ${row.kind}`,
    ...shown.map(({ key, format }) => (row[key] === undefined ? '-' : format(row[key]))),
  ]);
  const title = `${whole(options.clients)} clients read ${whole(options.size)} bytes each at ${whole(options.rate)} a second; send buffers: ${sendBufferHere() === 0 ? "the kernel's own" : `${whole(sendBufferHere())} bytes`}`;
  // A table of so many columns is read better lying on its side.
  const headings = ['', ...cells.map(([name]) => name)];
  const lines = shown.map(({ heading }, index) => [heading, ...cells.map((row) => row[index + 1])]);
  const print = options.json === '-' ? say : (text) => process.stdout.write(`${text}\n`);
  if (rows.length > 0) print(`## ${title}\n\n${table(headings, lines)}\n`);
  if (options.json === undefined) return;
  const { clients, rate, size } = options;
  const text = `${JSON.stringify({ machine, clients, rate, size, sendBuffer: sendBufferHere(), rows }, null, 2)}\n`;
  if (options.json === '-') process.stdout.write(text);
  else writeFileSync(options.json, text);
}

try {
  const options = parse(process.argv.slice(2));
  if (options.help) console.log(usage);
  else {
    const inPlace = options.sendBuffer === sendBufferHere();
    const code = inPlace ? undefined : await againWithSendBuffers(options.sendBuffer, say);
    if (code === undefined) await main(options);
    else process.exitCode = code;
  }
} catch (error) {
  process.exitCode = 1;
  say(
    error instanceof UsageError ? `${error.message}\n\n${usage}` : (error.stack ?? String(error)),
  );
}
