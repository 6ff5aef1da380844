// node:http as a cluster whose workers end after so many requests, the way people do it with care:
// recycling-cluster.mjs PORT PROCESSES REQUESTS ADMINPORT.
//
// A worker that has had its requests says so and serves on. Its successor is forked, and once that one
// listens the old one takes no further connections, ends those that it has with their next response, and
// exits; whoever is not through by then is killed 5 s later.
import cluster from 'node:cluster';
import { createServer } from 'node:http';

const [port, processes, limit, adminPort] = process.argv.slice(2).map(Number);
const body = 'Hello, World!';
const killAfterMs = 5000;

function primary() {
  let recycled = 0;
  const replace = (old) => {
    cluster.fork().once('listening', () => {
      old.send('retire');
      const guard = setTimeout(() => old.process.kill('SIGKILL'), killAfterMs);
      old.once('exit', () => {
        clearTimeout(guard);
        recycled++;
      });
    });
  };
  cluster.on('message', replace);
  for (let index = 0; index < processes; index++) cluster.fork();
  createServer((_request, response) => response.end(`Recycled: ${recycled}\n`)).listen({
    port: adminPort,
    host: '127.0.0.1',
  });
}

function worker() {
  let requests = 0;
  let retires = false;
  const server = createServer((_request, response) => {
    response.writeHead(200, {
      'content-type': 'text/plain',
      'content-length': body.length,
      ...(retires ? { connection: 'close' } : {}),
    });
    response.end(body);
    if (++requests === limit) process.send('done');
  });
  // 0 is no limit for all of these.
  server.keepAliveTimeout = 0;
  server.requestTimeout = 0;
  server.headersTimeout = 0;
  server.maxRequestsPerSocket = 0;
  process.on('message', () => {
    retires = true;
    cluster.worker.disconnect();
  });
  server.listen({ port, host: '127.0.0.1', backlog: 4096 });
}

if (cluster.isPrimary) primary();
else worker();
