// Files and bytes that the kernel sends by itself, to fast clients and slow ones:
//   node dist/main/cli.js serve examples/files.mjs
//   curl localhost:8080/                                 some bytes, made once
//   curl localhost:8080/source/hello.mjs                 a file of this folder
//   curl -r 0-99 localhost:8080/source/hello.mjs         part of it
import { Response, sendBytes, sendFile } from 'hybrid-mpm';

// Never changed from here on. One copy in a memory file serves every client of a worker.
const report = Buffer.from('All that was computed when the worker started.\n'.repeat(10_000));

export default {
  fetch(request) {
    const { pathname } = new URL(request.url);
    if (pathname === '/') {
      return sendBytes(report, { headers: { 'Content-Type': 'text/plain;charset=utf-8' } });
    }
    const name = /^\/source\/([^/]+)$/.exec(pathname)?.[1];
    if (name === undefined) return new Response('not found\n', { status: 404 });
    // A name that is not there is answered by 404, one that leads out of the folder as well.
    return sendFile(name, {
      root: import.meta.dirname,
      request, // its conditions and ranges are heeded
      headers: { 'Cache-Control': 'no-cache' },
    });
  },
};
