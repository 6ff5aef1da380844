// What the light fetch classes cost, next to the native ones: node bench/micro/fetch.mjs [dist folder].
// Needs `npm run build:ts`. Figures are nanoseconds an operation, the best of several rounds.
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const dist = pathToFileURL(`${resolve(process.argv[2] ?? 'dist')}/workers/fetch/`).href;
const { requestOf } = await import(`${dist}request.js`);
const { LightResponse } = await import(`${dist}response.js`);
const { LightHeaders } = await import(`${dist}headers.js`);
const { FetchHandler } = await import(`${dist}fetch-handler.js`);

const fields = [
  ['Host', 'example.test:8080'],
  ['User-Agent', 'Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0'],
  ['Accept', 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8'],
  ['Accept-Language', 'en-US,en;q=0.5'],
  ['Accept-Encoding', 'gzip, deflate, br, zstd'],
  ['Connection', 'keep-alive'],
  ['Cookie', 'session=0123456789abcdef0123456789abcdef'],
  ['Upgrade-Insecure-Requests', '1'],
  ['Sec-Fetch-Mode', 'navigate'],
  ['Priority', 'u=0, i'],
];

/** An exchange that answers from memory and swallows what it is sent. */
class BenchExchange {
  serial = 1;
  method = 'GET';
  target = '/path/to/something?query=1';
  minorVersion = 1;
  keepAlive = true;
  remoteAddress = '192.0.2.1';
  remotePort = 4000;
  localAddress = '127.0.0.1';
  localPort = 8080;
  bodyLength = 0;
  contentLength = -1;
  headersSent = false;
  ended = false;
  onDrain = null;
  onAbort = null;
  table = { serial: 1, fieldCount: 0, fields: new Int32Array(256) };
  responses = 0;

  constructor() {
    let head = `GET ${this.target} HTTP/1.1\r\n`;
    for (const [name, value] of fields) {
      const nameEnd = head.length + name.length;
      const at = this.table.fieldCount++ * 4;
      this.table.fields.set([head.length, nameEnd, nameEnd + 2, nameEnd + 2 + value.length], at);
      head += `${name}: ${value}\r\n`;
    }
    // Through a buffer, so that the string is flat as the connection's is.
    this.head = Buffer.from(`${head}\r\n`).latin1Slice();
  }

  respond(_status, _text, _headers, _body) {
    this.responses++;
  }
}

const exchange = new BenchExchange();
const keep = new Array(64);
let sink = 0;

const cases = {
  'light Request: construct': (i) => {
    keep[i & 63] = requestOf(exchange);
  },
  'light Request: construct, headers.get (8th of 10)': (i) => {
    const request = requestOf(exchange);
    keep[i & 63] = request;
    sink += request.headers.get('upgrade-insecure-requests').length;
  },
  'light Request: construct, headers.get (absent)': (i) => {
    const request = requestOf(exchange);
    keep[i & 63] = request;
    if (request.headers.get('authorization') === null) sink++;
  },
  'light Request: construct, url': (i) => {
    const request = requestOf(exchange);
    keep[i & 63] = request;
    sink += request.url.length;
  },
  "light Response('hello')": (i) => {
    keep[i & 63] = new LightResponse('hello');
  },
  "light Response('hello', { headers: { content-type } })": (i) => {
    keep[i & 63] = new LightResponse('hello', { headers: { 'content-type': 'text/html' } });
  },
  "light Response('hello', 3 headers)": (i) => {
    keep[i & 63] = new LightResponse('hello', {
      headers: { 'content-type': 'text/html', 'cache-control': 'no-store', 'x-a': `${i & 1}` },
    });
  },
  'light Response.json(small)': (i) => {
    keep[i & 63] = LightResponse.json({ hello: 'world' });
  },
  'light Headers({ 2 })': (i) => {
    keep[i & 63] = new LightHeaders({ a: 'b', c: 'd' });
  },
};

const plain = new FetchHandler(() => new LightResponse('hello'));
cases["FetchHandler, plain Response('hello')"] = () => plain.handle(exchange);
const reading = new FetchHandler(
  (request) => new LightResponse(`${request.url.length}${request.headers.get('accept')}`),
);
cases['FetchHandler, plain, url and one header read'] = () => reading.handle(exchange);

const nativeInit = { method: 'GET', headers: Object.fromEntries(fields) };
const slowCases = {
  'native Request, 10 headers': (i) => {
    keep[i & 63] = new Request('http://example.test/path', nativeInit);
  },
  "native Response('hello')": (i) => {
    keep[i & 63] = new Response('hello');
  },
};

function measure(run, count) {
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < 7; round++) {
    const start = process.hrtime.bigint();
    for (let i = 0; i < count; i++) run(i);
    best = Math.min(best, Number(process.hrtime.bigint() - start) / count);
  }
  return best;
}

async function measureAsync(count) {
  const asynchronous = new FetchHandler(async () => new LightResponse('hello'));
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < 7; round++) {
    const start = process.hrtime.bigint();
    for (let i = 0; i < count; i++) {
      asynchronous.handle(exchange);
      if ((i & 63) === 0) await null;
    }
    await new Promise((done) => setImmediate(done));
    best = Math.min(best, Number(process.hrtime.bigint() - start) / count);
  }
  return best;
}

function show(name, nanoseconds) {
  console.log(
    `${name.padEnd(58)} ${nanoseconds.toFixed(nanoseconds < 100 ? 1 : 0).padStart(8)} ns`,
  );
}

console.log(`Node ${process.version}`);
for (const [name, run] of Object.entries(cases)) show(name, measure(run, 1_000_000));
show("FetchHandler, async Response('hello')", await measureAsync(300_000));
for (const [name, run] of Object.entries(slowCases)) show(name, measure(run, 20_000));
if (sink < 0) console.log(sink);
