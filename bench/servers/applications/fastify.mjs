// Fastify: its instance for hybrid-mpm, listened on by cluster.mjs.
import fastify from 'fastify';
import { burn } from '../burn.mjs';

const app = fastify({
  logger: false,
  keepAliveTimeout: 0,
  requestTimeout: 0,
  connectionTimeout: 0,
  maxRequestsPerSocket: 0,
});
app.get('/', (_request, reply) => {
  reply.type('text/plain').send('Hello, World!');
});
app.get('/burn', (request, reply) => {
  reply.type('text/plain').send(burn(request.url));
});

export default app;
