// The application that hybrid-mpm serves to slow readers: one response, made in three ways.
// BENCH_BODY names the file with its bytes.
import { readFileSync } from 'node:fs';
import { Response, sendFile } from '../../dist/main/index.js';

const pieceBytes = 16 * 1024;
const path = process.env.BENCH_BODY ?? '';
const body = path === '' ? new Uint8Array(0) : readFileSync(path);
const binary = { 'content-type': 'application/octet-stream' };
const text = { 'content-type': 'text/plain' };

/** Made piece by piece as it is asked for, and no sooner. */
function stream() {
  let at = 0;
  return new ReadableStream(
    {
      pull(controller) {
        controller.enqueue(Uint8Array.prototype.slice.call(body, at, at + pieceBytes));
        at += pieceBytes;
        if (at >= body.length) controller.close();
      },
    },
    { highWaterMark: 0 },
  );
}

export default {
  fetch(request) {
    switch (new URL(request.url).pathname) {
      case '/light':
        return new Response('Hello, World!', { headers: text });
      case '/bytes':
        // A copy: an application makes its bytes anew for each response.
        return new Response(Uint8Array.prototype.slice.call(body), { headers: binary });
      case '/stream':
        return new Response(stream(), { headers: binary });
      case '/file':
        return sendFile(path);
    }
    return new Response('', { status: 404 });
  },
};
