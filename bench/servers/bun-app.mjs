// Bun's own server: bun bun-app.mjs PORT [close]. The routes are functions, as an application has them;
// a constant Response as a route would be answered without running JavaScript.
// Bun does end a connection for a request with Connection: close, but does not say so in the
// response, and a client that goes by the response counts a broken connection: with "close" the
// application says it.
import { burn } from './burn.mjs';

const headers = {
  'content-type': 'text/plain',
  ...(process.argv[3] === 'close' ? { connection: 'close' } : {}),
};

Bun.serve({
  port: Number(process.argv[2]),
  hostname: '127.0.0.1',
  idleTimeout: 0,
  development: false,
  routes: {
    '/': () => new Response('Hello, World!', { headers }),
    '/burn': (request) => new Response(burn(request.url), { headers }),
  },
  fetch: () => new Response('', { status: 404 }),
});
