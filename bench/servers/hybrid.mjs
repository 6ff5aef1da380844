// This project, as its command line starts it.
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { host } from '../lib/loopback.mjs';

const root = new URL('../../', import.meta.url);
const cli = fileURLToPath(new URL('dist/main/cli.js', root));
const handler = fileURLToPath(new URL('hybrid-handler.mjs', import.meta.url));

// As many as the machine has cores and no spare ones to come and go within a window.
const defaultWorkers = { start: 2, minSpare: 1, maxSpare: 2, max: 2 };

export const hybrid = {
  name: 'hybrid',
  about: 'hybrid-mpm, 2 workers (16 for mixed-cpu, 5 to 20 for think-time)',
  burns: true,
  files: true,
  timers: true,
  probe() {
    if (!existsSync(cli)) return { missing: 'dist/main/cli.js is not there: npm run build' };
    const { version } = JSON.parse(readFileSync(new URL('package.json', root), 'utf8'));
    return { version };
  },
  command({ port, adminPort, settings }) {
    const workers = settings.workers ?? defaultWorkers;
    const flags = {
      listen: `${host}:${port}`,
      admin: `${host}:${adminPort}`,
      'start-servers': workers.start,
      'min-spare-threads': workers.minSpare,
      'max-spare-threads': workers.maxSpare,
      'max-request-workers': workers.max,
      'listen-backlog': 4096,
      'keep-alive-timeout': 600,
      'max-keep-alive-requests': 0,
      'max-requests-per-child': settings.requestsPerLife ?? 0,
      'direct-polling': settings.directPolling ?? 'on',
      'extended-status': settings.extendedStatus ?? 'on',
    };
    return {
      file: process.execPath,
      args: [
        ...[cli, 'serve', settings.files ?? settings.entry ?? handler],
        ...Object.entries(flags).flatMap(([flag, value]) => [`--${flag}`, String(value)]),
      ],
    };
  },
  hasAdmin: true,
};

// The listener dispatches every request, as Apache's does.
export const hybridDispatch = {
  ...hybrid,
  name: 'hybrid-dispatch',
  about: 'the same with directPolling off',
  command: ({ settings, ...rest }) =>
    hybrid.command({ ...rest, settings: { ...settings, directPolling: 'off' } }),
};

/** Without what /server-status tells of single requests. */
export const hybridUnrecorded = {
  ...hybrid,
  name: 'hybrid-unrecorded',
  about: 'the same with extendedStatus off',
  command: ({ settings, ...rest }) =>
    hybrid.command({ ...rest, settings: { ...settings, extendedStatus: 'off' } }),
};
