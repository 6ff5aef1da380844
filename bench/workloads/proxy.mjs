// The workloads through a reverse proxy: proxy-small and proxy-1m. The upstream is the same for all, and
// its CPU is not counted: only the process tree of the proxy is.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePort, greeting, host, untilReady } from '../lib/loopback.mjs';
import { start, stop } from '../lib/processes.mjs';
import { runWrk } from '../lib/wrk.mjs';
import { proxies } from '../servers/proxies.mjs';
import * as columns from './columns.mjs';
import { withServerCpu } from './wrk-window.mjs';

const MB = 1024 * 1024;
const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];

const upstreamConfiguration = ({ port, dir }) => `
daemon off;
${process.getuid() === 0 ? 'user root;' : ''}
worker_processes 1;
pid ${dir}/nginx.pid;
error_log stderr error;
events { worker_connections 4096; }
http {
${temporary.map((name) => `  ${name}_temp_path ${dir}/${name};`).join('\n')}
  access_log off;
  default_type text/plain;
  sendfile on;
  keepalive_timeout 600s;
  keepalive_requests 1000000000;
  server {
    listen ${host}:${port} backlog=4096;
    location = /large { alias ${dir}/large.bin; }
    location / { return 200 "${greeting}"; }
  }
}
`;

let upstream = null;

async function startUpstream({ tempDir }) {
  const dir = mkdtempSync(join(tempDir, 'upstream-'));
  const port = await freePort();
  for (const name of temporary) mkdirSync(join(dir, name), { recursive: true });
  writeFileSync(join(dir, 'large.bin'), Buffer.alloc(MB, 'x'));
  writeFileSync(join(dir, 'nginx.conf'), upstreamConfiguration({ port, dir }));
  const args = ['-e', 'stderr', '-p', dir, '-c', join(dir, 'nginx.conf')];
  const running = start('nginx', args, { cwd: dir, env: process.env });
  upstream = { running, dir };
  await untilReady(running, `http://${host}:${port}/`);
  return { upstreamPort: port };
}

async function stopUpstream() {
  if (upstream === null) return;
  const { running, dir } = upstream;
  upstream = null;
  await stop(running);
  rmSync(dir, { recursive: true, force: true });
}

const proxyWindow = (name, title, path, connections) => ({
  name,
  title,
  servers: proxies.map((proxy) => proxy.name),
  quickServers: [],
  needsProxy: true,
  columns: [columns.requestsPerS, columns.p50, columns.p99, columns.failed, columns.cpu],
  ratio: { key: 'cpuPerRequestUs', what: 'CPU/request' },
  before: startUpstream,
  after: stopUpstream,
  async measure({ base, rootPid, options }) {
    const url = base + path;
    const { durationMs } = options;
    await runWrk({ url, connections, durationMs: options.warmUpMs });
    return withServerCpu(rootPid, () => runWrk({ url, connections, durationMs }));
  },
});

export const proxySmall = proxyWindow(
  'proxy-small',
  'a small response through a reverse proxy, 64 keep-alive connections',
  '/',
  64,
);
export const proxy1m = proxyWindow(
  'proxy-1m',
  'a body of 1 MB through a reverse proxy, 16 keep-alive connections',
  '/large',
  16,
);
