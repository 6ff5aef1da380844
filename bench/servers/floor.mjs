// The floor: what the kernel's part costs, so that nobody chases time that cannot be had.
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { versionLine } from '../lib/machine.mjs';

const source = fileURLToPath(new URL('floor.c', import.meta.url));
let binary;

export const floor = {
  name: 'floor',
  about: 'C, one thread, edge-triggered epoll, constant response, no parsing',
  burns: false,
  probe({ dir }) {
    const gcc = versionLine('gcc', ['--version'], /gcc.* \d[\d.]+/);
    if (gcc === undefined) return { missing: 'gcc is not installed' };
    const output = join(dir, 'floor');
    try {
      execFileSync('gcc', ['-O2', '-Wall', '-Wextra', '-o', output, source], {
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
