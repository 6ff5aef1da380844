/**
 * A real nginx that serves a folder, to compare with: a process of its own, with everything it writes
 * in a temporary folder.
 */
import { spawn } from 'node:child_process';
import { accessSync, constants, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const PATHS = ['/usr/sbin/nginx', '/usr/bin/nginx', '/usr/local/sbin/nginx'];
const START_DEADLINE_MS = 10_000;
const START_ATTEMPTS = 5;

/** Where nginx is, null where it is not installed. */
export function findNginx(): string | null {
  for (const path of PATHS) {
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // The next one.
    }
  }
  return null;
}

export interface NginxProcess {
  readonly port: number;
  stop(): Promise<void>;
}

/** What is comparable is switched on; the types are those a web server is expected to know. */
const configuration = (work: string, root: string, port: number): string => `
daemon off;
master_process off;
pid ${work}/nginx.pid;
error_log ${work}/error.log warn;
events { worker_connections 64; }
http {
  access_log off;
  client_body_temp_path ${work}/body;
  proxy_temp_path ${work}/proxy;
  fastcgi_temp_path ${work}/fastcgi;
  uwsgi_temp_path ${work}/uwsgi;
  scgi_temp_path ${work}/scgi;
  types {
    text/html html;
    text/plain txt;
    text/css css;
    text/javascript js mjs;
    application/json json;
    application/wasm wasm;
    image/png png;
    image/svg+xml svg;
    font/woff2 woff2;
    application/gzip gz;
    video/mp4 mp4;
  }
  default_type application/octet-stream;
  absolute_redirect off;
  if_modified_since before;
  etag on;
  gzip_static on;
  gzip_vary on;
  disable_symlinks on from=$document_root;
  server {
    listen 127.0.0.1:${port};
    root ${root};
    index index.html;
    location ~ /\\.(?!well-known/) { return 404; }
  }
}
`;

/** Starts nginx on a port that was free a moment ago, with another one if it no longer is. */
export async function startNginx(binary: string, root: string): Promise<NginxProcess> {
  let output = '';
  for (let attempt = 0; attempt < START_ATTEMPTS; attempt++) {
    const work = mkdtempSync(join(tmpdir(), 'mpm-nginx-'));
    const port = await freePort();
    const file = join(work, 'nginx.conf');
    writeFileSync(file, configuration(work, root, port));
    const nginx = spawn(binary, ['-p', work, '-e', join(work, 'error.log'), '-c', file], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let ended = false;
    const exited = new Promise<void>((resolve) => {
      nginx.once('error', (error) => {
        output += error.message;
        ended = true;
        resolve();
      });
      nginx.once('exit', () => {
        ended = true;
        resolve();
      });
    });
    for (const stream of [nginx.stdout, nginx.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        output += text;
      });
    }
    const stop = async (): Promise<void> => {
      if (!ended) nginx.kill('SIGTERM');
      await exited;
      rmSync(work, { recursive: true, force: true });
    };
    const deadline = performance.now() + START_DEADLINE_MS;
    while (!ended && performance.now() < deadline) {
      if (await accepts(port)) return { port, stop };
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    await stop();
  }
  throw new Error(`nginx did not start: ${output}`);
}

/** A port that was free a moment ago. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address ? address.port : 0));
    });
  });
}

/** Whether somebody takes connections there. */
export function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port });
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
