// Koa: its application for hybrid-mpm, listened on by cluster.mjs.
import Koa from 'koa';
import { burn } from '../burn.mjs';

const app = new Koa();
app.use((ctx) => {
  ctx.type = 'text/plain';
  ctx.body = ctx.path === '/burn' ? burn(ctx.url) : 'Hello, World!';
});

export default app;
