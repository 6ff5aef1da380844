// The application of the soak: one route for each kind of work, and for each way to harm a worker.
// SOAK_FILES is the folder with the files that it sends.
import { WebSocketServer } from 'ws';
import { Response, sendBytes, sendFile } from '../../dist/main/index.js';
import { lightBody, newHash, payload, payloadBytes } from './payload.mjs';

export const lengthy = ['/lengthy/*'];
/** Of an endless loop; shorter than any other wait here. */
export const deadlines = { '/fault/loop': '1s' };

/** Echoes; what its clients do wrong is theirs. */
export const websocket = new WebSocketServer({ noServer: true });
websocket.on('connection', (socket) => {
  socket.on('error', () => {});
  socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
});

const root = process.env.SOAK_FILES ?? import.meta.dirname;
const binary = { 'content-type': 'application/octet-stream' };
const pieceBytes = 16 * 1024;
const piecesBetweenWaits = 8;
const sleeper = new Int32Array(new SharedArrayBuffer(4));

const wait = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

function burn(milliseconds) {
  const end = performance.now() + milliseconds;
  while (performance.now() < end);
}

/** Piece by piece as it is asked for, now and then after a timer, as what a database yields. */
function stream(length) {
  let at = 0;
  let pieces = 0;
  return new ReadableStream(
    {
      async pull(controller) {
        if (++pieces % piecesBetweenWaits === 0) await wait(2);
        const end = Math.min(at + pieceBytes, length);
        controller.enqueue(Uint8Array.prototype.slice.call(payload, at, end));
        at = end;
        if (at === length) controller.close();
      },
    },
    { highWaterMark: 0 },
  );
}

/** Reads the body as it comes; answers with what it was. */
async function upload(request) {
  const hash = newHash();
  let bytes = 0;
  for await (const piece of request.body ?? []) {
    hash.update(piece);
    bytes += piece.length;
  }
  return Response.json({ bytes, hash: hash.digest('hex') });
}

function harm(kind) {
  switch (kind) {
    case 'throw':
      setTimeout(() => {
        throw new Error('thrown on purpose');
      }, 1);
      return new Promise(() => {});
    case 'exit':
      return process.exit(3);
    case 'loop':
      for (;;);
    case 'heap': {
      const kept = [];
      for (;;) kept.push(new Array(10_000).fill({}));
    }
    default:
      return new Response('no such harm\n', { status: 404 });
  }
}

export default {
  fetch(request) {
    const [, route, parameter = ''] = new URL(request.url).pathname.split('/');
    const amount = Math.min(Number(parameter) || 0, payloadBytes);
    switch (route) {
      case 'light':
        return new Response(lightBody);
      case 'bytes':
        return new Response(payload.subarray(0, amount), { headers: binary });
      case 'fixed':
        return sendBytes(payload, { headers: binary });
      case 'file':
        return sendFile(parameter, { root, request });
      case 'stream':
        return new Response(stream(amount), { headers: binary });
      case 'upload':
        return upload(request);
      case 'wait':
        return wait(amount).then(() => new Response(lightBody));
      case 'burn':
      case 'lengthy':
        burn(amount);
        return new Response(lightBody);
      case 'block':
        // As a synchronous call of a database or the file system: the thread waits without computing.
        Atomics.wait(sleeper, 0, 0, amount);
        return new Response(lightBody);
      case 'fault':
        return harm(parameter);
      default:
        return new Response('not found\n', { status: 404 });
    }
  },
};
