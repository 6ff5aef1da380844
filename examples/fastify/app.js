// A Fastify application. Its instance is the entry: `hybrid-mpm serve app.js` makes it ready in every
// worker, and closes it (`onClose`) when the worker ends. A script that calls listen() works as well,
// by `hybrid-mpm run`.
import Fastify from 'fastify';

const app = Fastify({ logger: { level: process.env.LOG_LEVEL ?? 'warn' } });

app.addHook('onRequest', async (_request, reply) => {
  reply.header('x-hook', 'onRequest');
});
app.addHook('onClose', async () => console.log('closed'));

app.get(
  '/',
  { schema: { response: { 200: { type: 'object', properties: { hello: { type: 'string' } } } } } },
  async (request) => ({ hello: request.ip, secret: 'is in no schema' }),
);
app.post(
  '/sum',
  {
    schema: {
      body: {
        type: 'object',
        required: ['numbers'],
        properties: { numbers: { type: 'array', items: { type: 'number' } } },
      },
    },
  },
  async ({ body }) => ({ sum: body.numbers.reduce((sum, number) => sum + number, 0) }),
);
// A route that asks another one, without a connection.
app.get('/inner', async () => (await app.inject('/')).json());

export default app;
