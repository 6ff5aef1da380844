// nginx with a configuration and directories of its own.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { greeting, host } from '../lib/loopback.mjs';
import { versionLine } from '../lib/machine.mjs';

const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];

const configuration = ({ port, dir }) => `
daemon off;
${process.getuid() === 0 ? 'user www-data;' : ''}
worker_processes 2;
worker_rlimit_nofile 20000;
pid ${dir}/nginx.pid;
error_log stderr error;
events { worker_connections 9500; }
http {
${temporary.map((name) => `  ${name}_temp_path ${dir}/${name};`).join('\n')}
  access_log off;
  default_type text/plain;
  keepalive_timeout 600s;
  keepalive_requests 1000000000;
  server {
    listen ${host}:${port} backlog=4096;
    location / { return 200 "${greeting}"; }
  }
}
`;

export const nginx = {
  name: 'nginx',
  about: 'nginx, 2 workers, return 200',
  burns: false,
  probe() {
    const version = versionLine('nginx', ['-v'], /nginx\/\S+/)?.slice(6);
    return version === undefined ? { missing: 'nginx is not installed' } : { version };
  },
  command(context) {
    const { dir } = context;
    for (const name of temporary) mkdirSync(join(dir, name), { recursive: true });
    writeFileSync(join(dir, 'nginx.conf'), configuration(context));
    const args = ['-e', 'stderr', '-p', dir, '-c', join(dir, 'nginx.conf')];
    return { file: 'nginx', args };
  },
};
