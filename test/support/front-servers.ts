/**
 * nginx and HAProxy as reverse proxies before the server: processes of their own, with everything they
 * write in a temporary folder.
 *
 * They are told to let through what they can, to keep their connections to the server and to use them for
 * all clients alike: what one client leaves behind would hit the next. Each request that they send gets
 * three fields: a number of its own, and method and target as the front server understood them.
 */
import { spawn } from 'node:child_process';
import { accessSync, constants, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { accepts, findNginx, freePort } from './nginx-process.ts';

const START_DEADLINE_MS = 10_000;
const START_ATTEMPTS = 5;

export interface FrontServer {
  readonly port: number;
  stop(): Promise<void>;
}

/** How a front server is started: its program, and the arguments for a folder and two ports. */
export interface FrontKind {
  readonly name: string;
  /** Null where it is not installed. */
  readonly binary: string | null;
  /** As it is set up by most. */
  readonly usual: boolean;
  readonly prepare: (work: string, port: number, upstreamPort: number) => string[];
}

const executable = (path: string): string | null => {
  try {
    accessSync(path, constants.X_OK);
    return path;
  } catch {
    return null;
  }
};

/** @param buffering whether a body is taken in whole before the request is sent on */
const nginxConfiguration = (
  work: string,
  port: number,
  upstream: number,
  buffering: 'on' | 'off',
) => `
daemon off;
master_process off;
pid ${work}/nginx.pid;
error_log ${work}/error.log crit;
events { worker_connections 512; }
http {
  access_log off;
  client_body_temp_path ${work}/body;
  proxy_temp_path ${work}/proxy;
  fastcgi_temp_path ${work}/fastcgi;
  uwsgi_temp_path ${work}/uwsgi;
  scgi_temp_path ${work}/scgi;
  client_header_timeout 1s;
  client_body_timeout 1s;
  keepalive_timeout 1s;
  underscores_in_headers on;
  ignore_invalid_headers off;
  merge_slashes off;
  upstream application { server 127.0.0.1:${upstream}; keepalive 4; }
  server {
    listen 127.0.0.1:${port} backlog=1024;
    location / {
      proxy_pass http://application;
      proxy_http_version 1.1;
      proxy_request_buffering ${buffering};
      proxy_next_upstream off;
      proxy_read_timeout 5s;
      proxy_set_header Connection "";
      proxy_set_header Host $http_host;
      proxy_set_header X-Front-Id front-$request_id;
      proxy_set_header X-Front-Method $request_method;
      proxy_set_header X-Front-Target $request_uri;
    }
  }
}
`;

/** @param relaxed whether messages are passed on that it would refuse by itself */
const haproxyConfiguration = (port: number, upstream: number, relaxed: boolean) => `
global
  maxconn 512
defaults
  mode http
  timeout connect 5s
  timeout client 1s
  timeout http-request 1s
  timeout http-keep-alive 1s
  timeout server 5s
  retries 0
  option http-keep-alive
  http-reuse always
  ${relaxed ? 'option accept-invalid-http-request\n  option accept-invalid-http-response' : ''}
frontend entrance
  bind 127.0.0.1:${port}
  http-request set-header X-Front-Id front-%[uuid()]
  http-request set-header X-Front-Method %[method]
  http-request set-header X-Front-Target %[url]
  default_backend application
backend application
  server one 127.0.0.1:${upstream} maxconn 8
`;

const nginx = (buffering: 'on' | 'off'): FrontKind => ({
  name: `nginx, request buffering ${buffering}`,
  binary: findNginx(),
  usual: buffering === 'on',
  prepare: (work, port, upstream) => {
    const file = join(work, 'nginx.conf');
    writeFileSync(file, nginxConfiguration(work, port, upstream, buffering));
    return ['-p', work, '-e', join(work, 'error.log'), '-c', file];
  },
});

const haproxy = (relaxed: boolean): FrontKind => ({
  name: `HAProxy${relaxed ? ', accept-invalid-http-request' : ''}`,
  binary: executable('/usr/sbin/haproxy'),
  usual: !relaxed,
  prepare: (work, port, upstream) => {
    const file = join(work, 'haproxy.cfg');
    writeFileSync(file, haproxyConfiguration(port, upstream, relaxed));
    return ['-f', file, '-db'];
  },
});

export const FRONTS: readonly FrontKind[] = [
  nginx('on'),
  nginx('off'),
  haproxy(false),
  haproxy(true),
];

/** Starts it on a port that was free a moment ago, with another one if it no longer is. */
export async function startFront(kind: FrontKind, upstreamPort: number): Promise<FrontServer> {
  let output = '';
  for (let attempt = 0; attempt < START_ATTEMPTS; attempt++) {
    const work = mkdtempSync(join(tmpdir(), 'mpm-front-'));
    const port = await freePort();
    const child = spawn(kind.binary ?? '', kind.prepare(work, port, upstreamPort), {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let ended = false;
    const exited = new Promise<void>((resolve) => {
      const end = () => {
        ended = true;
        resolve();
      };
      child.once('error', (error) => {
        output += error.message;
        end();
      });
      child.once('exit', end);
    });
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        output += text;
      });
    }
    const stop = async (): Promise<void> => {
      if (!ended) child.kill('SIGTERM');
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
  throw new Error(`${kind.name} did not start: ${output}`);
}
