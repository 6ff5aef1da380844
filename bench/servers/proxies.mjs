// Reverse proxies in front of the same upstream, each with keep-alive connections to it.
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { host } from '../lib/loopback.mjs';
import { versionLine } from '../lib/machine.mjs';
import { hybrid } from './hybrid.mjs';

const cli = fileURLToPath(new URL('../../dist/main/cli.js', import.meta.url));
const empty = fileURLToPath(new URL('hybrid-handler.mjs', import.meta.url));

const proxy = { burns: false, files: false, proxies: true };

export const hybridProxy = {
  ...proxy,
  name: 'hybrid-proxy',
  about: 'hybrid-mpm --proxy, 2 workers',
  probe: () => (existsSync(cli) ? hybrid.probe() : { missing: 'npm run build' }),
  command({ port, adminPort, settings }) {
    const flags = {
      listen: `${host}:${port}`,
      admin: adminPort === undefined ? 'off' : `${host}:${adminPort}`,
      'listen-backlog': 4096,
      'start-servers': 2,
      'min-spare-threads': 1,
      'max-spare-threads': 2,
      'max-request-workers': 2,
      'keep-alive-timeout': 600,
      'max-keep-alive-requests': 0,
      proxy: `/=http://${host}:${settings.upstreamPort}`,
      ...(settings.limitSpilledBody > 0 && { 'limit-spilled-body': settings.limitSpilledBody }),
    };
    const given = Object.entries(flags).flatMap(([flag, value]) => [`--${flag}`, String(value)]);
    return { file: process.execPath, args: [cli, 'serve', empty, ...given] };
  },
};

const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];

const nginxConfiguration = ({ port, dir, settings }) => `
daemon off;
${process.getuid() === 0 ? 'user www-data;' : ''}
worker_processes 2;
worker_rlimit_nofile 20000;
pid ${dir}/nginx.pid;
error_log stderr error;
events { worker_connections 4096; }
http {
${temporary.map((name) => `  ${name}_temp_path ${dir}/${name};`).join('\n')}
  access_log off;
  keepalive_timeout 600s;
  keepalive_requests 1000000000;
  upstream behind {
    server ${host}:${settings.upstreamPort};
    keepalive 64;
    keepalive_requests 1000000000;
  }
  server {
    listen ${host}:${port} backlog=4096;
    location / {
      proxy_pass http://behind;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header X-Forwarded-Host $host;
    }
  }
}
`;

export const nginxProxy = {
  ...proxy,
  name: 'nginx-proxy',
  about: 'nginx, 2 workers, proxy_pass with keepalive',
  probe() {
    const version = versionLine('nginx', ['-v'], /nginx\/\S+/)?.slice(6);
    return version === undefined ? { missing: 'nginx is not installed' } : { version };
  },
  command(context) {
    const { dir } = context;
    for (const name of temporary) mkdirSync(join(dir, name), { recursive: true });
    writeFileSync(join(dir, 'nginx.conf'), nginxConfiguration(context));
    return { file: 'nginx', args: ['-e', 'stderr', '-p', dir, '-c', join(dir, 'nginx.conf')] };
  },
};

const haproxyConfiguration = ({ port, settings }) => `
global
  nbthread 2
  maxconn 4096
defaults
  mode http
  timeout connect 5s
  timeout client 600s
  timeout server 60s
  option forwardfor
  http-reuse always
frontend front
  bind ${host}:${port}
  default_backend behind
backend behind
  server one ${host}:${settings.upstreamPort}
`;

export const haproxy = {
  ...proxy,
  name: 'haproxy',
  about: 'HAProxy, 2 threads',
  probe() {
    const version = versionLine('haproxy', ['-v'], /version \S+/)?.slice(8);
    return version === undefined ? { missing: 'haproxy is not installed' } : { version };
  },
  command(context) {
    const file = join(context.dir, 'haproxy.cfg');
    writeFileSync(file, haproxyConfiguration(context));
    return { file: 'haproxy', args: ['-db', '-f', file] };
  },
};

export const proxies = [hybridProxy, nginxProxy, haproxy];
