import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadNative } from '../../../src/listener/native.ts';
import { takesUpgrades, type UpgradeTaker } from '../../../src/workers/exchange.ts';
import { type EntryError, loadHandler } from '../../../src/workers/handler-loader.ts';
import { FakeExchange } from '../../support/fake-exchange.ts';

const asFolder = { descriptors: loadNative(), indexes: false, maxOpenFiles: 4 };
let folder = '';
let count = 0;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'mpm-loader-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

function module(text: string, extension = 'mjs'): string {
  const path = join(folder, `entry-${count++}.${extension}`);
  writeFileSync(path, text);
  return path;
}

async function answer(entry: string): Promise<[string, string]> {
  const handler = await loadHandler(entry, asFolder);
  const exchange = new FakeExchange({ target: '/' });
  handler.handle(exchange);
  await exchange.finished();
  expect(exchange.errors).toEqual([]);
  return [handler.kind, exchange.body.split('\r\n\r\n').at(-1)!];
}

async function errorOf(entry: string): Promise<EntryError> {
  return loadHandler(entry, asFolder).then(
    () => expect.fail('loaded'),
    (error) => error,
  );
}

describe('loadHandler', () => {
  it.each([
    ['fetch', 'export const fetch = (r) => new Response(r.method);'],
    ['fetch', 'export default { word: "GET", fetch() { return new Response(this.word); } };'],
    ['fetch', 'export default () => new Response("GET");'],
    ['fetch', 'export default async (request) => new Response(request.method);'],
    ['fetch', 'export default Object.assign((a, b) => 1, { fetch: () => new Response("GET") });'],
    ['node', 'export default (req, res) => res.end(req.method);'],
    ['node', 'export default function app(req, res, next) { res.end("GET"); }'],
    [
      'node',
      'import { createServer } from "node:http"; export default createServer((req, res) => res.end(req.socket.server ? "GET" : ""));',
    ],
    // The faces of Koa, Fastify and Nest, and a promise of an application.
    [
      'node',
      'export default { word: "GET", use() {}, callback() { return (req, res) => res.end(this.word); } };',
    ],
    [
      'node',
      'let word; export default { ready: async () => { word = "GET"; }, inject() {}, close() {}, routing: (req, res) => res.end(word) };',
    ],
    [
      'node',
      'let word; export default { init: async () => { word = "GET"; }, close() {}, getHttpAdapter: () => ({ getInstance: () => (req, res, next) => res.end(word) }) };',
    ],
    // To itty-router any name is a method, `then` among them.
    [
      'fetch',
      'const any = new Proxy({}, { get: () => () => any }); export default { __proto__: any, fetch: () => new Response("GET") };',
    ],
    ['node', 'export default Promise.resolve((req, res) => res.end("GET"));'],
  ])('takes a %s handler: %s', async (kind, text) => {
    expect(await answer(module(text))).toEqual([kind, 'GET']);
  });

  it('takes CommonJS', async () => {
    expect(await answer(module('module.exports = (req, res) => res.end("x");', 'cjs'))).toEqual([
      'node',
      'x',
    ]);
    const compiled =
      'Object.defineProperty(exports, "__esModule", { value: true }); exports.default = { fetch: () => new Response("y") };';
    expect(await answer(module(compiled, 'cjs'))).toEqual(['fetch', 'y']);
  });

  it('takes a file URL and a folder', async () => {
    const url = pathToFileURL(module('export default () => new Response("u");')).href;
    expect(await answer(url)).toEqual(['fetch', 'u']);
    mkdirSync(join(folder, 'public'));
    writeFileSync(join(folder, 'public', 'index.html'), 'static');
    expect(await answer(join(folder, 'public'))).toEqual(['static', 'static']);
  });

  it('names what is wrong with an entry', async () => {
    const missing = await errorOf(join(folder, 'nowhere.mjs'));
    expect(missing.code).toBe('ERR_MPM_ENTRY_NOT_FOUND');
    expect(missing.message).toContain('nowhere.mjs');

    for (const text of ['export const a = 1;', 'export default 3;', 'export default {};']) {
      const shape = await errorOf(module(text));
      expect(shape.code).toBe('ERR_MPM_ENTRY_SHAPE');
      expect(shape.message).not.toContain('\n');
    }

    const path = module('\nfunction inner() { throw new Error("no database"); }\ninner();');
    const failed = await errorOf(path);
    expect(failed.code).toBe('ERR_MPM_ENTRY_FAILED');
    expect(failed.message).toContain('no database');
    expect(failed.message).toContain(path);
    expect((failed.cause as Error).message).toBe('no database');

    const odd = await errorOf(module('throw "just a string";'));
    expect(odd.code).toBe('ERR_MPM_ENTRY_FAILED');
    expect(odd.message).toContain('just a string');

    const dependency = await errorOf(module('import "no-such-package";'));
    expect(dependency.code).toBe('ERR_MPM_ENTRY_FAILED');
    expect(dependency.message).toContain('no-such-package');
  });
});

it('ends an application that can be closed with its worker', async () => {
  const text =
    'export default { ready() {}, inject() {}, routing: (q, r) => r.end(), close: async () => { globalThis.closedApplications = 1; } };';
  const handler = await loadHandler(module(text), asFolder);
  await handler.settled?.();
  expect(globalThis).toHaveProperty('closedApplications', 1);
});

it.each([
  [
    'export default Promise.reject(new Error("no database"));',
    /default export rejected: no database/,
  ],
  [
    'export default { ready: () => Promise.reject(new Error("bad plugin")), inject() {}, routing() {} };',
    /did not get ready: bad plugin/,
  ],
])('names why an application does not get ready: %s', async (text, message) => {
  const error = await errorOf(module(text));
  expect(error.code).toBe('ERR_MPM_ENTRY_FAILED');
  expect(error.message).toMatch(message);
});

describe('who takes upgrades', () => {
  const wants = async (text: string) => {
    const handler = await loadHandler(module(text), asFolder);
    return takesUpgrades(handler) && handler.wantsUpgrade('GET');
  };
  const listens = 'server.on("upgrade", () => {});';
  const server = 'import { createServer } from "node:http"; const server = createServer();';
  const takes = '{ handleUpgrade() {}, emit() {} }';

  it.each([
    [true, `${server} ${listens} export default server;`],
    [false, `${server} export default server;`],
    [true, 'export default (req, res) => {}; export function upgrade() {}'],
    [true, 'export default { fetch() {}, upgrade() {} };'],
    [true, `export const fetch = () => {}; export const websocket = ${takes};`],
    // Bun's, which is something else.
    [false, 'export default { fetch() {}, websocket: { message() {} } };'],
    [false, 'export default (req, res) => {}; export const upgrade = true;'],
    [false, 'export default (req, res) => {}; export function shutdown() {}'],
    [false, 'class App { fetch() {} upgrade() {} } export default new App();'],
    [false, 'export default (req, res) => {};'],
  ])('%s: %s', async (expected, text) => {
    expect(await wants(text)).toBe(expected);
  });

  it('a server listens as long as somebody does', async () => {
    const text = `${server} export const off = () => server.removeAllListeners("upgrade");`;
    const path = module(`${text} ${listens} export default server;`);
    const handler = (await loadHandler(path, asFolder)) as UpgradeTaker;
    expect(handler.wantsUpgrade('GET')).toBe(true);
    (await import(pathToFileURL(path).href)).off();
    expect(handler.wantsUpgrade('GET')).toBe(false);
  });

  it('a server has its requests by its own event', async () => {
    const text = `${server} server.on("request", (req, res) => res.end(req.method));`;
    expect(await answer(module(`${text} export default server;`))).toEqual(['node', 'GET']);
  });

  it('shutdown is called once, and waited for', async () => {
    const path = module(`
      export default (req, res) => {};
      export const calls = [];
      export async function shutdown() { calls.push("begun"); await null; calls.push("done"); }
    `);
    const handler = (await loadHandler(path, asFolder)) as UpgradeTaker;
    expect([handler.shutDown(), handler.shutDown()]).toEqual([true, true]);
    await handler.settled?.();
    expect((await import(pathToFileURL(path).href)).calls).toEqual(['begun', 'done']);
  });
});
