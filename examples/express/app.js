// An Express application as it would be started by `node app.js`: run it with `hybrid-mpm run app.js`.
import { createHash } from 'node:crypto';
import express from 'express';

const app = express();
app.set('trust proxy', 'loopback');
app.use('/files', express.static(import.meta.dirname));
app.use(express.json({ limit: '100kb' }));

app.get('/', (request, response) => {
  response.json({ hello: request.ip, protocol: request.protocol });
});
app.post('/echo', (request, response) => response.json(request.body));

// A body of any size, as fast as the disk or the client: nothing of it is kept.
app.put('/digest', (request, response, next) => {
  const hash = createHash('sha256');
  request.on('data', (chunk) => hash.update(chunk));
  request.on('end', () => response.send(`${hash.digest('hex')}\n`));
  request.on('error', next);
});

// Server-sent events until the client leaves.
app.get('/events', (request, response) => {
  response.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-cache' });
  let count = 0;
  const send = () => response.write(`id: ${++count}\ndata: tick\n\n`);
  const timer = setInterval(send, 1_000);
  send();
  request.on('close', () => {
    clearInterval(timer);
    console.log(`left after ${count}`);
  });
});

app.get('/fails', () => {
  throw Object.assign(new Error('out of tea'), { status: 418 });
});
app.use((error, _request, response, next) => {
  if (response.headersSent) return next(error);
  response.status(error.status ?? 500).json({ error: error.message });
});

app.listen(process.env.PORT ?? 3000);
