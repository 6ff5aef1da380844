/**
 * Nanoseconds per request head: the request parser, the plain parser of the tests, node's llhttp;
 * and per chunk: the chunked decoder.
 *
 * Usage: npm run build:ts && node bench/micro/parser.mjs [rounds]
 * Prints the minimum of the rounds: what else ran on the machine only ever adds.
 */

import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const DIST = process.env.DIST ?? join(ROOT, 'dist');
const ROUNDS = Number(process.argv[2] ?? 15);
const LIMITS = { requestLine: 8190, fieldSize: 8190, fields: 100 };

const load = (path) => import(pathToFileURL(path).href);
const { RequestParser } = await load(join(DIST, 'workers/http1/request-parser.js'));
const { ChunkedDecoder } = await load(join(DIST, 'workers/http1/chunked-decoder.js'));

const HEADS = {
  minimal: ['GET /plaintext HTTP/1.1', 'Host: localhost:8080', 'Accept: */*'],
  browser: [
    'GET /articles/2024/05/some-title?page=2 HTTP/1.1',
    'Host: www.example.com',
    'Connection: keep-alive',
    'Cache-Control: max-age=0',
    'Upgrade-Insecure-Requests: 1',
    'User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/124.0',
    'Accept: text/html,application/xhtml+xml,*/*;q=0.8',
    'Referer: https://www.example.com/',
    'Accept-Encoding: gzip, deflate, br',
    'Accept-Language: en-US,en;q=0.9',
    'Cookie: session=abcdef0123456789; theme=dark',
  ],
};

/** The plain parser is TypeScript of the tests and not in dist/. */
async function loadPlain() {
  const out = mkdtempSync(join(tmpdir(), 'hybrid-mpm-bench-'));
  try {
    const tsc = join(ROOT, 'node_modules/typescript/bin/tsc');
    const source = join(ROOT, 'test/support/plain-request-parser.ts');
    const options = ['--ignoreConfig', '--target', 'es2022', '--module', 'esnext', '--types', ''];
    execFileSync(process.execPath, [tsc, ...options, '--outDir', out, source]);
    // Imported before the directory goes: a module is read once.
    return (await load(join(out, 'plain-request-parser.js'))).plainParse;
  } finally {
    rmSync(out, { recursive: true });
  }
}

/** node's own parser, reachable only by its deprecated back door; null where that is shut. */
function loadLlhttp() {
  const { emitWarning } = process;
  try {
    process.emitWarning = () => {};
    const { HTTPParser } = process.binding('http_parser');
    const parser = new HTTPParser();
    parser[HTTPParser.kOnHeadersComplete | 0] = () => 0;
    return (bytes) => {
      parser.initialize(HTTPParser.REQUEST, {});
      const read = parser.execute(bytes);
      if (typeof read !== 'number') throw read;
      return read;
    };
  } catch {
    return null;
  } finally {
    process.emitWarning = emitWarning;
  }
}

function minimum(count, run) {
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < ROUNDS; round++) {
    const start = process.hrtime.bigint();
    run(count);
    best = Math.min(best, Number(process.hrtime.bigint() - start) / count);
  }
  return best;
}

const arena = Buffer.from(new SharedArrayBuffer(64 * 1024 * 1024));
const AT = 40_000_001;
const parser = new RequestParser(LIMITS);
const plainParse = await loadPlain();
const llhttp = loadLlhttp();
const rows = {};

for (const [name, lines] of Object.entries(HEADS)) {
  const head = `${lines.join('\r\n')}\r\n\r\n`;
  const end = AT + arena.write(head, AT, 'latin1');
  const alone = Buffer.from(head, 'latin1');
  const row = { bytes: head.length, fields: lines.length - 1 };
  // Sums keep the compiler from dropping calls, and prove that the heads were taken.
  row['fast ns'] = minimum(200_000, (count) => {
    let sum = 0;
    for (let n = 0; n < count; n++) sum += parser.parse(arena, AT, end);
    if (sum !== count * end) throw new Error(parser.error);
  });
  row['plain ns'] = minimum(5_000, (count) => {
    for (let n = 0; n < count; n++) {
      if (plainParse(head, LIMITS).end !== head.length) throw new Error('refused');
    }
  });
  if (llhttp !== null) {
    row['llhttp ns'] = minimum(50_000, (count) => {
      let sum = 0;
      for (let n = 0; n < count; n++) sum += llhttp(alone);
      if (sum !== count * head.length) throw new Error('refused');
    });
  }
  rows[name] = row;
}
for (const row of Object.values(rows)) {
  for (const key of Object.keys(row)) row[key] = Math.round(row[key]);
}
console.log(`node ${process.version}, minimum of ${ROUNDS} rounds`);
console.table(rows);

const decoder = new ChunkedDecoder();
const chunks = {};
for (const size of [5, 64, 1024, 16384]) {
  const count = Math.ceil(65536 / size);
  const wire = `${`${size.toString(16)}\r\n${'x'.repeat(size)}\r\n`.repeat(count)}0\r\n\r\n`;
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < ROUNDS * 20; round++) {
    // Decoding is in place, so every round needs the wire's bytes again.
    arena.write(wire, 0, 'latin1');
    decoder.reset();
    const start = process.hrtime.bigint();
    const result = decoder.decode(arena, 0, wire.length, 0);
    best = Math.min(best, Number(process.hrtime.bigint() - start) / count);
    if (result !== 1) throw new Error(decoder.error);
  }
  chunks[`chunks of ${size}`] = { 'ns a chunk': Math.round(best) };
}
console.table(chunks);
