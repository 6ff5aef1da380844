// The peers that are JavaScript runtimes and frameworks: node:http, its cluster, Fastify, Bun.
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { versionLine } from '../lib/machine.mjs';

const appPath = (name) => fileURLToPath(new URL(name, import.meta.url));
const modulePath = (name) => fileURLToPath(new URL(`../node_modules/${name}`, import.meta.url));

function nodeServer(name, about, processes) {
  return {
    name,
    about,
    burns: true,
    files: true,
    timers: true,
    probe: () => ({ version: process.versions.node }),
    command: ({ port, settings }) => ({
      file: process.execPath,
      args: [
        ...[appPath('node-app.mjs'), String(port), String(processes)],
        ...(settings.files === undefined ? [] : [settings.files]),
      ],
    }),
  };
}

export const node = nodeServer('node', 'node:http, one process', 0);
export const nodeCluster2 = nodeServer('node-cluster-2', 'node:http, cluster of 2', 2);
export const nodeCluster8 = nodeServer('node-cluster-8', 'node:http, cluster of 8', 8);

export const nodeClusterRecycling = {
  name: 'node-cluster-recycling',
  about: 'node:http, cluster of 2 whose workers end after a number of requests',
  hasAdmin: true,
  probe: () => ({ version: process.versions.node }),
  command: ({ port, adminPort, settings }) => ({
    file: process.execPath,
    args: [
      appPath('recycling-cluster.mjs'),
      ...[port, 2, settings.requestsPerLife ?? Number.POSITIVE_INFINITY, adminPort].map(String),
    ],
  }),
};

export const fastify = {
  name: 'fastify',
  about: 'Fastify on node:http, one process',
  burns: true,
  packages: ['fastify'],
  async probe() {
    const { default: app } = await import('fastify');
    return { version: app().version };
  },
  command: ({ port }) => ({
    file: process.execPath,
    args: [appPath('fastify-app.mjs'), String(port)],
  }),
};

// The package's own file is only a placeholder until its install script has put the binary
// there, which npm may not be allowed to run; the platform packages carry the binary itself.
function bunCandidates() {
  const cpu = process.arch === 'arm64' ? 'aarch64' : 'x64';
  return ['bun', `@oven/bun-linux-${cpu}`, `@oven/bun-linux-${cpu}-baseline`]
    .flatMap((name) => [modulePath(`${name}/bin/bun`), modulePath(`${name}/bin/bun.exe`)])
    .filter((path) => existsSync(path));
}

let bunBinary;

export const bun = {
  name: 'bun',
  about: 'Bun.serve, one process',
  burns: true,
  files: true,
  packages: ['bun'],
  probe() {
    for (const path of bunCandidates()) {
      const version = versionLine(path, ['--version'], /^\d+\.\d+\.\d+/);
      if (version === undefined) continue;
      bunBinary = path;
      return { version, runtime: path };
    }
    return { missing: 'no binary of the npm package bun runs here' };
  },
  command: ({ port, settings }) => ({
    file: bunBinary,
    args: [
      ...[appPath('bun-app.mjs'), String(port), settings.closeEach ? 'close' : 'keep-alive'],
      ...(settings.files === undefined ? [] : [settings.files]),
    ],
  }),
};
