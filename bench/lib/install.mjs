// Installs the peers that come from npm into bench/node_modules, when one of them is wanted and
// missing. The product's own package is not touched.
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { start, stop } from './processes.mjs';

const benchDir = fileURLToPath(new URL('..', import.meta.url));
const timeLimitMs = 180_000;

export const installed = (name) =>
  existsSync(new URL(`../node_modules/${name}/package.json`, import.meta.url));

/** Returns what went wrong, or undefined: a failure costs only the peers that needed it. */
export async function installPeers(names, say) {
  const missing = names.filter((name) => !installed(name));
  if (missing.length === 0) return undefined;
  say(`installing ${missing.join(' and ')} into bench/node_modules`);
  const npm = start('npm', ['ci', '--prefix', benchDir, '--no-audit', '--no-fund'], {
    cwd: benchDir,
  });
  let late = false;
  const guard = setTimeout(() => {
    late = true;
    stop(npm);
  }, timeLimitMs);
  const { code } = await npm.exited;
  clearTimeout(guard);
  if (code === 0) return undefined;
  const reason = late ? `not done after ${timeLimitMs / 1000} s` : npm.output().trim().slice(-300);
  return `npm ci failed: ${reason}`;
}
