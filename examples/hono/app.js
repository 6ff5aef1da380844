// A Hono application: it has a `fetch`, which is what `hybrid-mpm serve app.js` calls.
import { Hono } from 'hono';
import { streamSSE } from 'hono/streaming';

const app = new Hono();

app.get('/', (c) => c.json({ hello: c.req.header('user-agent') ?? 'nobody' }));
app.get('/users/:id', (c) => c.text(`user ${c.req.param('id')}\n`));
app.post('/form', async (c) => {
  const { name, file } = await c.req.parseBody();
  return c.json({ name, file: file?.name, size: file?.size });
});
app.get('/events', (c) =>
  streamSSE(c, async (stream) => {
    for (let id = 1; id <= 3; id++) await stream.writeSSE({ id: String(id), data: 'tick' });
  }),
);
app.onError((error, c) => c.json({ error: error.message }, 500));
app.get('/fails', () => {
  throw new Error('out of tea');
});

export default app;
