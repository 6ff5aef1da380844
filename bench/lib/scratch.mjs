// A folder for the time of the program, and its end: whichever way the program goes, an exception
// included, no process and no file is left behind.
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { killAllNow } from './processes.mjs';

export function scratchFolder() {
  const folder = mkdtempSync(join(tmpdir(), 'hybrid-mpm-bench-'));
  // Servers that run as another user must be able to pass through.
  chmodSync(folder, 0o711);
  process.on('exit', () => {
    killAllNow();
    rmSync(folder, { recursive: true, force: true });
  });
  for (const [signal, number] of [
    ['SIGINT', 2],
    ['SIGTERM', 15],
    ['SIGHUP', 1],
  ]) {
    process.on(signal, () => process.exit(128 + number));
  }
  return folder;
}
