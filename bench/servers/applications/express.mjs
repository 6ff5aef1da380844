// Express: exported for hybrid-mpm, listened on by cluster.mjs.
import express from 'express';
import { burn } from '../burn.mjs';

const app = express();
app.disable('x-powered-by');
app.get('/', (_request, response) => {
  response.type('text/plain').send('Hello, World!');
});
app.get('/burn', (request, response) => {
  response.type('text/plain').send(burn(request.url));
});

export default app;
