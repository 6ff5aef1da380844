// The workloads that are one wrk against a file of a folder: file-1k, file-100k, file-10m.
import { chmodSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fetchBytes, greeting } from '../lib/loopback.mjs';
import { seededBytes } from '../lib/seeded.mjs';
import { runWrk } from '../lib/wrk.mjs';
import * as columns from './columns.mjs';
import { withServerCpu } from './wrk-window.mjs';

const seed = 20_260_102;
const kb = 1024;
const mb = 1024 * kb;
// Below this a figure for each MB says no more than the one for each request.
const largeBytes = 64 * kb;
const greetingName = 'hello.txt';

/** Makes the folder once for the whole run: the small response, and one file of each size. */
function folder(tempDir, name, bytes) {
  const dir = join(tempDir, 'files');
  mkdirSync(dir, { recursive: true });
  chmodSync(dir, 0o755); // servers that run as another user must be able to read it
  const files = [
    [greetingName, () => greeting],
    [name, () => bytes],
  ];
  for (const [file, content] of files) {
    const path = join(dir, file);
    if (existsSync(path)) continue;
    writeFileSync(path, content());
    chmodSync(path, 0o644);
  }
  return dir;
}

function fileWindow({ name, title, bytes, connections, quickServers }) {
  const fileName = `${name}.bin`;
  const content = () => seededBytes(bytes, seed);
  return {
    name,
    title: `${title}, ${connections} keep-alive connections`,
    servers: ['hybrid', 'nginx', 'apache', 'bun', 'node-cluster-2'],
    quickServers,
    needsFiles: true,
    columns: [
      columns.requestsPerS,
      { key: 'mbPerS', heading: 'MB/s', format: columns.whole },
      columns.p50,
      columns.p99,
      columns.failed,
      columns.cpu,
      { key: 'cpuPerMbUs', heading: 'server CPU us/MB', format: columns.fixed(1) },
    ],
    ratio: { key: 'cpuPerRequestUs', what: 'CPU/request' },
    before: ({ tempDir }) => ({
      files: folder(tempDir, fileName, content()),
      path: `/${greetingName}`,
    }),
    async measure({ base, rootPid, options }) {
      const url = `${base}/${fileName}`;
      // wrk counts what comes and does not look at it.
      const got = await fetchBytes(url);
      if (got.status !== 200 || !got.body.equals(content())) {
        throw new Error(`${url}: status ${got.status}, ${got.body.length} bytes, not the file`);
      }
      const load = (durationMs) => runWrk({ url, connections, durationMs });
      await load(options.warmUpMs);
      const figures = await withServerCpu(rootPid, () => load(options.durationMs));
      return {
        ...figures,
        mbPerS: (figures.requestsPerS * bytes) / mb,
        ...(bytes >= largeBytes ? { cpuPerMbUs: (figures.cpuPerRequestUs * mb) / bytes } : {}),
      };
    },
  };
}

export const fileWindows = [
  fileWindow({
    ...{ name: 'file-1k', title: 'a file of 1 KB', bytes: kb, connections: 16 },
    quickServers: [],
  }),
  fileWindow({
    ...{ name: 'file-100k', title: 'a file of 100 KB', bytes: 100 * kb, connections: 16 },
    quickServers: ['hybrid', 'nginx'],
  }),
  fileWindow({
    ...{ name: 'file-10m', title: 'a file of 10 MB', bytes: 10 * mb, connections: 8 },
    quickServers: [],
  }),
];
