// The handler of `npm start`: three routes that show a plain answer, blocking code and waiting code.
import { Response } from 'hybrid-mpm';

/** Burns CPU in plain linear code; only this worker is busy meanwhile. */
function burn(milliseconds) {
  const end = performance.now() + milliseconds;
  let turns = 0;
  while (performance.now() < end) turns++;
  return turns;
}

export default {
  async fetch(request) {
    const { pathname, searchParams } = new URL(request.url);
    const milliseconds = Math.min(Number(searchParams.get('ms') ?? 20) || 0, 10_000);
    switch (pathname) {
      case '/':
        return new Response('Hello from hybrid-mpm\n');
      case '/burn':
        return new Response(`${burn(milliseconds)} turns in ${milliseconds} ms\n`);
      case '/wait':
        await new Promise((resolve) => setTimeout(resolve, milliseconds));
        return new Response(`waited ${milliseconds} ms\n`);
      default:
        return new Response('not found\n', { status: 404 });
    }
  },
};
