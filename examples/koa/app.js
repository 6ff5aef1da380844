// A Koa application; the object is the entry: `hybrid-mpm serve app.js`.
import { Readable } from 'node:stream';
import Koa from 'koa';

const app = new Koa({ proxy: true });

app.use(async (ctx, next) => {
  const began = performance.now();
  await next();
  ctx.set('X-Response-Time', `${(performance.now() - began).toFixed(1)}ms`);
});
app.use(async (ctx) => {
  switch (ctx.path) {
    case '/':
      ctx.body = { hello: ctx.ip };
      break;
    case '/stream':
      ctx.type = 'text/plain';
      ctx.body = Readable.from(['one\n', 'two\n', 'three\n']);
      break;
    case '/echo':
      ctx.body = ctx.req;
      break;
    case '/fresh':
      ctx.status = 200;
      ctx.etag = 'same';
      if (ctx.fresh) ctx.status = 304;
      else ctx.body = 'new\n';
      break;
    case '/fails':
      ctx.throw(409, 'taken');
  }
});

export default app;
