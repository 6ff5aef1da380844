// The bench's side of client.c: compiles it once, runs it, and hears its events.
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { start, stop } from '../lib/processes.mjs';

const source = fileURLToPath(new URL('client.c', import.meta.url));

/** Path of the program. Throws what the compiler said. */
export function compileClient(dir) {
  const output = join(dir, 'slow-client');
  execFileSync('gcc', ['-O2', '-Wall', '-Wextra', '-o', output, source], {
    stdio: ['ignore', 'ignore', 'pipe'],
    timeout: 60_000,
  });
  return output;
}

/**
 * Starts the clients. `begun` settles when each has had bytes of its body, `ending` when the first
 * is through, both also when the program ends; `done` with its summary.
 */
export function startSlowClients(program, { port, path, bodyFile, clients, rate, deadlineS }) {
  const receiveBuffer = 16 * 1024;
  const running = start(
    program,
    [port, path, bodyFile, clients, rate, receiveBuffer, deadlineS].map(String),
    { keepAllOutput: true },
  );
  const seen = (event) =>
    new Promise((resolve) => {
      const look = () => {
        const line = running
          .output()
          .split('\n')
          .find((text) => text.startsWith(`{"event":"${event}"`));
        if (line !== undefined) resolve(JSON.parse(line));
      };
      running.child.stdout.on('data', look);
      running.exited.then(() => {
        look();
        resolve(undefined);
      });
    });
  const [begun, ending] = [seen('begun'), seen('ending')];
  const done = seen('done').then((summary) => {
    if (summary !== undefined) return summary;
    throw new Error(`the slow clients ended early: ${running.output().trim().slice(-300)}`);
  });
  done.catch(() => {}); // the caller awaits it later, perhaps after another failure
  return { begun, ending, done, stop: () => stop(running, 1000) };
}
