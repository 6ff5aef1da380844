// nginx with a configuration and directories of its own.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { greeting, host } from '../lib/loopback.mjs';
import { versionLine } from '../lib/machine.mjs';

const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];

// A folder as a good administrator would have it served: no copy through the process, full packets,
// and no open and stat for each request.
const fileServing = (folder) => `
  sendfile on;
  tcp_nopush on;
  open_file_cache max=1000 inactive=60s;
  open_file_cache_valid 60s;
  open_file_cache_errors on;
  types { text/plain txt; application/octet-stream bin; }
  root ${folder};`;

const configuration = ({ port, dir, settings }) => `
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
  keepalive_requests 1000000000;${settings.files === undefined ? '' : fileServing(settings.files)}
  server {
    listen ${host}:${port} backlog=4096;
    ${settings.files === undefined ? `location / { return 200 "${greeting}"; }` : 'location / { }'}
  }
}
`;

export const nginx = {
  name: 'nginx',
  about: 'nginx, 2 workers, return 200 or sendfile',
  burns: false,
  files: true,
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
