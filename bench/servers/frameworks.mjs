// One application of each framework, the same file on hybrid-mpm and on node:http as a cluster of 2.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { hybrid } from './hybrid.mjs';

const pathOf = (name) => fileURLToPath(new URL(`applications/${name}`, import.meta.url));
const versionOf = (name) =>
  JSON.parse(readFileSync(new URL(`../node_modules/${name}/package.json`, import.meta.url), 'utf8'))
    .version;

function pair(name, title, packages) {
  const entry = pathOf(`${name}.mjs`);
  const shared = { burns: true, packages, probe: () => ({ version: versionOf(packages[0]) }) };
  return [
    {
      ...hybrid,
      ...shared,
      files: false,
      timers: false,
      name: `${name}-hybrid`,
      about: `${title} on hybrid-mpm, 2 workers`,
      command: ({ settings, ...rest }) =>
        hybrid.command({ ...rest, settings: { ...settings, entry } }),
    },
    {
      ...shared,
      name: `${name}-cluster-2`,
      about: `${title} on node:http, cluster of 2`,
      command: ({ port }) => ({
        file: process.execPath,
        args: [pathOf('cluster.mjs'), name, String(port), '2'],
      }),
    },
  ];
}

export const frameworks = [
  ...pair('express', 'Express', ['express']),
  ...pair('fastify', 'Fastify', ['fastify']),
  ...pair('koa', 'Koa', ['koa']),
  ...pair('hono', 'Hono', ['hono', '@hono/node-server']),
];
