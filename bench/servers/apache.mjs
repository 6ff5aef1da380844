// Apache httpd with the event MPM, a static file, and a ServerRoot of its own.
import { chmodSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { greeting, host } from '../lib/loopback.mjs';
import { versionLine } from '../lib/machine.mjs';

const modules = ['/usr/lib/apache2/modules', '/usr/lib64/httpd/modules', '/usr/lib/httpd/modules'];

// 4 x 64 workers and 64 asynchronous connections for each idle one: 8,000 idle ones are no limit.
const configuration = ({ port, dir, root, moduleDir }) => `
ServerRoot ${dir}
ServerName localhost
DefaultRuntimeDir ${dir}
PidFile ${dir}/httpd.pid
ErrorLog ${dir}/error.log
LogLevel crit
LoadModule mpm_event_module ${moduleDir}/mod_mpm_event.so
LoadModule authz_core_module ${moduleDir}/mod_authz_core.so
${process.getuid() === 0 ? 'User www-data\nGroup www-data' : ''}
Listen ${host}:${port}
ListenBacklog 4096
ServerLimit 4
StartServers 2
ThreadLimit 64
ThreadsPerChild 64
MinSpareThreads 64
MaxSpareThreads 256
MaxRequestWorkers 256
AsyncRequestWorkerFactor 64
MaxConnectionsPerChild 0
KeepAlive On
KeepAliveTimeout 600
MaxKeepAliveRequests 0
Timeout 600
HostnameLookups Off
EnableSendfile On
DocumentRoot ${root}
<Directory ${root}>
  Require all granted
  AllowOverride None
  Options FollowSymLinks
  ForceType text/plain
  FileETag None
</Directory>
`;

let binary;
let moduleDir;

export const apache = {
  name: 'apache',
  about: 'Apache event, static file',
  burns: false,
  files: true,
  path: '/hello.txt',
  probe() {
    moduleDir = modules.find((path) => existsSync(join(path, 'mod_mpm_event.so')));
    for (const name of ['apache2', 'httpd']) {
      const version = versionLine(name, ['-v'], /Apache\/\S+/)?.slice(7);
      if (version === undefined || moduleDir === undefined) continue;
      binary = name;
      return { version };
    }
    return { missing: 'Apache with mod_mpm_event is not installed' };
  },
  command({ port, dir, settings }) {
    mkdirSync(join(dir, 'htdocs'), { recursive: true });
    writeFileSync(join(dir, 'htdocs/hello.txt'), greeting);
    // The children run as www-data and must reach the file.
    for (const path of [dir, join(dir, 'htdocs')]) chmodSync(path, 0o755);
    chmodSync(join(dir, 'htdocs/hello.txt'), 0o644);
    const root = settings.files ?? join(dir, 'htdocs');
    writeFileSync(join(dir, 'httpd.conf'), configuration({ port, dir, root, moduleDir }));
    return { file: binary, args: ['-d', dir, '-f', join(dir, 'httpd.conf'), '-D', 'FOREGROUND'] };
  },
};
