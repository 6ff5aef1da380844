// Bun's own server: bun bun-app.mjs PORT [keep-alive|close [FOLDER]]. The routes are functions, as an application has them;
// a constant Response as a route would be answered without running JavaScript.
// Bun does end a connection for a request with Connection: close, but does not say so in the
// response, and a client that goes by the response counts a broken connection: with "close" the
// application says it.
import { join } from 'node:path';
import { burn } from './burn.mjs';

const headers = {
  'content-type': 'text/plain',
  ...(process.argv[3] === 'close' ? { connection: 'close' } : {}),
};

const folder = process.argv[4];
const routes = {
  '/': () => new Response('Hello, World!', { headers }),
  '/burn': (request) => new Response(burn(request.url), { headers }),
};
const notFound = () => new Response('', { status: 404 });
// Only names without a slash, so that nothing leads out of the folder.
const file = (request) => {
  const name = /^\/([a-z0-9-]+\.[a-z]+)$/.exec(new URL(request.url).pathname)?.[1];
  return name === undefined ? notFound() : new Response(Bun.file(join(folder, name)));
};

Bun.serve({
  port: Number(process.argv[2]),
  hostname: '127.0.0.1',
  idleTimeout: 0,
  development: false,
  ...(folder === undefined ? { routes, fetch: notFound } : { fetch: file }),
});
