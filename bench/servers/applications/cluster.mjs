// An application of this folder on node:http, as a cluster: cluster.mjs NAME PORT PROCESSES.
import cluster from 'node:cluster';
import { createServer } from 'node:http';

const [name, port, processes] = process.argv.slice(2);

async function serverOf(app) {
  if (typeof app.fetch === 'function') {
    const { createAdaptorServer } = await import('@hono/node-server');
    return createAdaptorServer(app);
  }
  if (typeof app.callback === 'function') return createServer(app.callback());
  if (typeof app.routing === 'function') {
    await app.ready();
    return app.server;
  }
  return createServer(app);
}

if (cluster.isPrimary) {
  for (let index = 0; index < Number(processes); index++) cluster.fork();
} else {
  const { default: app } = await import(`./${name}.mjs`);
  const server = await serverOf(app);
  // 0 is no limit for all of these.
  server.keepAliveTimeout = 0;
  server.requestTimeout = 0;
  server.headersTimeout = 0;
  server.maxRequestsPerSocket = 0;
  server.listen({ port: Number(port), host: '127.0.0.1', backlog: 4096 });
}
