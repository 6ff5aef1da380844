// Hono: its fetch for hybrid-mpm, listened on by cluster.mjs through @hono/node-server.
import { Hono } from 'hono';
import { burn } from '../burn.mjs';

const app = new Hono();
app.get('/', (c) => c.text('Hello, World!'));
app.get('/burn', (c) => c.text(burn(c.req.url.slice(c.req.url.indexOf('/burn?')))));

export default app;
