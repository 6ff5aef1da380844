// node:http, alone or as a cluster: node-app.mjs PORT [PROCESSES [FOLDER]]; 0 processes: alone.
import cluster from 'node:cluster';
import { createReadStream } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { burn } from './burn.mjs';
import { takeLateness } from './lateness.mjs';

const port = Number(process.argv[2]);
const processes = Number(process.argv[3] ?? 0);
const folder = process.argv[4];

function text(response, body) {
  response.writeHead(200, {
    'content-type': 'text/plain',
    'content-length': Buffer.byteLength(body),
  });
  response.end(body);
}

function application(request, response) {
  if (request.url === '/') text(response, 'Hello, World!');
  else if (request.url.startsWith('/burn?')) text(response, burn(request.url));
  else if (request.url === '/timer') text(response, takeLateness());
  else response.writeHead(404).end();
}

/** A file of the folder as many applications send one. Only names without a slash: none leads out. */
function file(request, response) {
  const name = /^\/([a-z0-9-]+\.[a-z]+)$/.exec(request.url)?.[1];
  if (name === undefined) {
    response.writeHead(404).end();
    return;
  }
  const type = name.endsWith('.txt') ? 'text/plain' : 'application/octet-stream';
  response.setHeader('content-type', type);
  createReadStream(join(folder, name))
    .on('error', () => response.destroy())
    .pipe(response);
}

if (processes > 0 && cluster.isPrimary) {
  for (let index = 0; index < processes; index++) cluster.fork();
} else {
  const server = createServer(folder === undefined ? application : file);
  // 0 is no limit for all of these.
  server.keepAliveTimeout = 0;
  server.requestTimeout = 0;
  server.headersTimeout = 0;
  server.maxRequestsPerSocket = 0;
  server.listen({ port, host: '127.0.0.1', backlog: 4096 });
}
