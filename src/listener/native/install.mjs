// Builds the native part when the package is installed, on Linux, where the installation fails without it.
// Elsewhere there is no epoll to build for, and `serve` runs over node:http in one thread.
import { spawnSync } from 'node:child_process';

if (process.platform === 'linux') {
  // npm has its node-gyp in the path of scripts.
  const { status, error } = spawnSync('node-gyp', ['rebuild'], { stdio: 'inherit' });
  if (error !== undefined) {
    console.error(`hybrid-mpm: node-gyp cannot be run: ${error.message}`);
  }
  process.exit(status ?? 1);
}
console.log(`hybrid-mpm: without its native part, since ${process.platform} has no epoll`);
