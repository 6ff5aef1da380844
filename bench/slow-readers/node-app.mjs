// The same application on node:http, in a cluster: node-app.mjs PORT PROCESSES, BENCH_BODY as in
// handler.mjs.
import cluster from 'node:cluster';
import { createReadStream, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { Readable } from 'node:stream';

const pieceBytes = 16 * 1024;
const path = process.env.BENCH_BODY;
const binary = { 'content-type': 'application/octet-stream' };

function stream(body) {
  let at = 0;
  return new Readable({
    highWaterMark: pieceBytes,
    read() {
      this.push(Uint8Array.prototype.slice.call(body, at, at + pieceBytes));
      at += pieceBytes;
      if (at >= body.length) this.push(null);
    },
  });
}

function serve(body) {
  return (request, response) => {
    switch (request.url) {
      case '/light':
        response.writeHead(200, { 'content-type': 'text/plain', 'content-length': 13 });
        response.end('Hello, World!');
        break;
      case '/bytes':
        response.writeHead(200, { ...binary, 'content-length': body.length });
        response.end(Uint8Array.prototype.slice.call(body));
        break;
      case '/stream':
        response.writeHead(200, binary);
        stream(body).pipe(response);
        break;
      case '/file':
        response.writeHead(200, { ...binary, 'content-length': body.length });
        createReadStream(path)
          .on('error', () => response.destroy())
          .pipe(response);
        break;
      default:
        response.writeHead(404).end();
    }
  };
}

if (cluster.isPrimary) {
  for (let index = 0; index < Number(process.argv[3]); index++) cluster.fork();
} else {
  const server = createServer(serve(readFileSync(path)));
  server.keepAliveTimeout = 600_000;
  server.requestTimeout = 0;
  server.listen({ port: Number(process.argv[2]), host: '127.0.0.1', backlog: 4096 });
}
