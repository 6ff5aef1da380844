// The bench's side of upstream.mjs: starts it, and waits until it is free of all that was asked of it.

import { startClient } from '../lib/clients.mjs';
import { freePort, greeting } from '../lib/loopback.mjs';

const commandTimeoutMs = 10_000;
const lookEveryMs = 20;

/** Answers large with the body and light with the greeting; `stop` is for whoever started it. */
export async function startUpstream(bodyFile) {
  const port = await freePort();
  const { ask, stop } = startClient('../slow-readers/upstream.mjs', { port, bodyFile, greeting });
  // It answers as soon as its program runs, and listens before that.
  await ask('seen', commandTimeoutMs);
  return {
    port,
    stop,
    /** What it has seen once it is done with so many responses, or when the time is over. */
    async freed(clients, timeoutMs) {
      const deadline = Date.now() + timeoutMs;
      for (;;) {
        const seen = await ask('seen', commandTimeoutMs);
        if ((seen.asked >= clients && seen.underWay === 0) || Date.now() > deadline) return seen;
        await new Promise((resolve) => setTimeout(resolve, lookEveryMs));
      }
    },
  };
}
