// Ports to listen on, and one plain request at a time: to see whether a server answers as it
// should, and to read the admin page.
import { get } from 'node:http';
import { createServer } from 'node:net';

export const host = '127.0.0.1';
export const greeting = 'Hello, World!';

// Below the kernel's ephemeral range (32768 on), so that no outgoing connection of a load
// generator can sit on a port between this look and the server's bind.
const firstPort = 20_000;
const portCount = 12_000;
let nextPort = firstPort + (process.pid % portCount);

function isFree(port) {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', () => resolve(false));
    probe.listen({ port, host, exclusive: true }, () => probe.close(() => resolve(true)));
  });
}

/** Every server gets a port of its own, so that no TIME_WAIT of an earlier one is in its way. */
export async function freePort() {
  for (let attempt = 0; attempt < 200; attempt++) {
    nextPort = firstPort + ((nextPort + 1 - firstPort) % portCount);
    if (await isFree(nextPort)) return nextPort;
  }
  throw new Error(`no free port between ${firstPort} and ${firstPort + portCount}`);
}

export function fetchBytes(url, timeoutMs = 2000) {
  return new Promise((resolve, reject) => {
    const request = get(url, { agent: false, timeout: timeoutMs }, (response) => {
      const pieces = [];
      response.on('data', (piece) => pieces.push(piece));
      response.on('end', () =>
        resolve({
          status: response.statusCode,
          type: response.headers['content-type'] ?? '',
          body: Buffer.concat(pieces),
        }),
      );
      response.on('error', reject);
    });
    request.on('timeout', () => request.destroy(new Error(`no answer within ${timeoutMs} ms`)));
    request.on('error', reject);
  });
}

export async function fetchText(url, timeoutMs) {
  const answer = await fetchBytes(url, timeoutMs);
  return { ...answer, body: answer.body.toString('utf8') };
}

/** Why an answer is not the small response that all servers must give, or undefined. */
function fault({ status, type, body }) {
  if (status !== 200) return `status ${status}`;
  if (!type.startsWith('text/plain')) return `content-type "${type}"`;
  if (body !== greeting) return `body ${JSON.stringify(body.slice(0, 80))}`;
  return undefined;
}

/** Waits until the server gives the right small response; throws with the reason if it does not. */
export async function untilReady(running, url, timeoutMs = 15_000) {
  const deadline = Date.now() + timeoutMs;
  let last = 'no answer';
  while (Date.now() < deadline) {
    if (running.ended !== undefined) {
      const { code, signal } = running.ended;
      throw new Error(`ended with ${signal ?? `code ${code}`} before it answered`);
    }
    try {
      const wrong = fault(await fetchText(url));
      if (wrong === undefined) return;
      last = `wrong answer: ${wrong}`;
    } catch (error) {
      last = error.message || error.code;
    }
    await new Promise((resolve) => setTimeout(resolve, 30));
  }
  throw new Error(`not ready after ${timeoutMs / 1000} s (${last})`);
}
