// The application that hybrid-mpm serves in the bench. A relative import: bench/ has a
// package.json of its own, so the name 'hybrid-mpm' does not lead to this project from here.
import { Response } from '../../dist/main/index.js';
import { burn } from './burn.mjs';
import { takeLateness } from './lateness.mjs';

const headers = { 'content-type': 'text/plain' };

export default {
  fetch(request) {
    const at = request.url.indexOf('/burn?');
    if (at >= 0) return new Response(burn(request.url.slice(at)), { headers });
    if (request.url.endsWith('/timer')) return new Response(takeLateness(), { headers });
    return new Response('Hello, World!', { headers });
  },
};
