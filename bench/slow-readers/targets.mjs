// Which server answers which kind of body, how it is started, and under which paths it answers.
import { fileURLToPath } from 'node:url';
import { hybrid } from '../servers/hybrid.mjs';
import { nginx } from '../servers/nginx.mjs';
import { haproxy, hybridProxy, nginxProxy } from '../servers/proxies.mjs';

const here = (name) => fileURLToPath(new URL(name, import.meta.url));

export const kinds = ['file', 'bytes', 'stream', 'proxied'];
const ownKinds = kinds.slice(0, 3);
export const lightName = 'light.txt';
export const bodyName = 'body.bin';

const byApplication = (kind) => ({ path: `/${kind}`, lightPath: '/light', settings: {} });
/** Light requests go to the same upstream, which measure.mjs starts. */
const byUpstream = (_kind, _folder, { upstreamPort, limitSpilledBody }) => ({
  path: '/large',
  lightPath: '/',
  settings: { upstreamPort, limitSpilledBody },
});
const asProxy = ({ probe, command }, name, hasAdmin = false) => ({
  ...{ name, kinds: ['proxied'], hasAdmin, probe, command, context: byUpstream },
});
const byFolder = (folder) => ({
  path: `/${bodyName}`,
  lightPath: `/${lightName}`,
  settings: { files: folder },
});

/**
 * name, kinds, probe() and command(context) as in servers/index.mjs; context(kind, folder, {upstreamPort, limitSpilledBody}):
 * paths and settings for that kind. Of one name there may be several, for different kinds.
 */
export const targets = [
  {
    name: 'hybrid',
    kinds: ownKinds,
    hasAdmin: true,
    probe: hybrid.probe,
    command: hybrid.command,
    context: (kind) => ({ ...byApplication(kind), settings: { entry: here('handler.mjs') } }),
  },
  {
    name: 'nginx',
    kinds: ['file'],
    probe: nginx.probe,
    command: nginx.command,
    context: (_kind, folder) => byFolder(folder),
  },
  {
    name: 'node-cluster',
    kinds: ownKinds,
    probe: () => ({ version: process.versions.node }),
    command: ({ port }) => ({
      file: process.execPath,
      args: [here('node-app.mjs'), String(port), '2'],
    }),
    context: byApplication,
  },
  asProxy(hybridProxy, 'hybrid', true),
  asProxy(nginxProxy, 'nginx'),
  asProxy(haproxy, 'haproxy'),
];
