// The floor: what the kernel's part costs, so that nobody chases time that cannot be had.
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { versionLine } from '../lib/machine.mjs';

function compiled(name, about, libraries) {
  const source = fileURLToPath(new URL(`${name}.c`, import.meta.url));
  let binary;
  return {
    name,
    about,
    burns: false,
    probe({ dir }) {
      const gcc = versionLine('gcc', ['--version'], /gcc.* \d[\d.]+/);
      if (gcc === undefined) return { missing: 'gcc is not installed' };
      const output = join(dir, name);
      try {
        execFileSync('gcc', ['-O2', '-Wall', '-Wextra', '-o', output, source, ...libraries], {
          stdio: ['ignore', 'ignore', 'pipe'],
          timeout: 60_000,
        });
      } catch (error) {
        return { missing: `gcc failed: ${String(error.stderr ?? error.message).slice(0, 300)}` };
      }
      binary = output;
      return { version: gcc };
    },
    command: ({ port, settings }) => ({
      file: binary,
      args: [String(port), ...(settings.closeEach ? ['close'] : [])],
    }),
  };
}

export const floor = compiled(
  'floor',
  'C, one thread, edge-triggered epoll, constant response, no parsing',
  [],
);
/** Needs Debian's liburing-dev; for keep-alive connections only. */
export const floorUring = compiled(
  'floor-uring',
  'the same by io_uring: multishot accept and receive, sends submitted with the wait',
  ['-luring'],
);
