// Which server answers which kind of body, how it is started, and under which paths it answers.
import { fileURLToPath } from 'node:url';
import { hybrid } from '../servers/hybrid.mjs';
import { nginx } from '../servers/nginx.mjs';

const here = (name) => fileURLToPath(new URL(name, import.meta.url));

export const kinds = ['file', 'bytes', 'stream'];
export const lightName = 'light.txt';
export const bodyName = 'body.bin';

const byApplication = (kind) => ({ path: `/${kind}`, lightPath: '/light', settings: {} });
const byFolder = (folder) => ({
  path: `/${bodyName}`,
  lightPath: `/${lightName}`,
  settings: { files: folder },
});

/**
 * name, kinds, probe() and command(context) as in servers/index.mjs; context(kind, folder): paths and
 * settings for that kind.
 */
export const targets = [
  {
    name: 'hybrid',
    kinds,
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
    kinds,
    probe: () => ({ version: process.versions.node }),
    command: ({ port }) => ({
      file: process.execPath,
      args: [here('node-app.mjs'), String(port), '2'],
    }),
    context: byApplication,
  },
];
