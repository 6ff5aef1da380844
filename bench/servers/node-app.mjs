// node:http, alone or as a cluster: node-app.mjs PORT [PROCESSES].
import cluster from 'node:cluster';
import { createServer } from 'node:http';
import { burn } from './burn.mjs';

const port = Number(process.argv[2]);
const processes = Number(process.argv[3] ?? 0);

function text(response, body) {
  response.writeHead(200, {
    'content-type': 'text/plain',
    'content-length': Buffer.byteLength(body),
  });
  response.end(body);
}

if (processes > 0 && cluster.isPrimary) {
  for (let index = 0; index < processes; index++) cluster.fork();
} else {
  const server = createServer((request, response) => {
    if (request.url === '/') text(response, 'Hello, World!');
    else if (request.url.startsWith('/burn?')) text(response, burn(request.url));
    else response.writeHead(404).end();
  });
  // 0 is no limit for all of these.
  server.keepAliveTimeout = 0;
  server.requestTimeout = 0;
  server.headersTimeout = 0;
  server.maxRequestsPerSocket = 0;
  server.listen({ port, host: '127.0.0.1', backlog: 4096 });
}
