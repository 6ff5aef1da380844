/**
 * Runs a script in a worker as `node script.js` would run it in a process.
 *
 * Role: what a script sees of being the main program: `process.argv`, `require.main`, and that it is
 * no primary of a cluster, since forking is what this server does for it.
 * Thread: a worker, once, before the script is loaded.
 */
import { EventEmitter } from 'node:events';
import Module, { syncBuiltinESMExports } from 'node:module';
import { extname } from 'node:path';
import { pathToFileURL } from 'node:url';

/** Node's own way of loading the main module; what process managers use. */
interface ModuleLoader {
  _load(path: string, parent: null, isMain: boolean): unknown;
}

/**
 * @param path absolute
 * @param parameters what follows the script on the command line
 * @param child number of this worker, from 0
 * @throws whatever the script throws while it is loaded
 */
export async function runScript(
  path: string,
  parameters: readonly string[],
  child: number,
): Promise<void> {
  process.argv = [process.argv0, path, ...parameters];
  await joinCluster(child);
  // By `require` an older Node takes TypeScript for JavaScript; `import` says what is the matter.
  const { typescript = false } = process.features as { typescript?: string | false };
  const stripped = !isTypeScript(path) || typescript !== false;
  if (!stripped || extname(path) === '.mjs' || extname(path) === '.mts') {
    await import(pathToFileURL(path).href);
    return;
  }
  try {
    // `require.main === module` holds only for a module that was loaded as the main one.
    (Module as unknown as ModuleLoader)._load(path, null, true);
  } catch (error) {
    if (!isForImport(error)) throw error;
    await import(pathToFileURL(path).href);
  }
}

export const isTypeScript = (path: string): boolean => /\.[mc]?ts$/.test(path);

/** An ES module, of which Node 20 and 22 let `require` load some, but none that awaits. */
function isForImport(error: unknown): boolean {
  const code = (error as { code?: unknown } | null)?.code;
  return code === 'ERR_REQUIRE_ESM' || code === 'ERR_REQUIRE_ASYNC_MODULE';
}

/** A script that forks for each processor goes the way of its workers: it listens. */
async function joinCluster(child: number): Promise<void> {
  // Not at the top: only a worker that runs a script pays for it.
  const { default: cluster } = await import('node:cluster');
  const worker = Object.assign(new EventEmitter(), {
    id: child + 1,
    process,
    isConnected: () => true,
    isDead: () => false,
  });
  Object.assign(cluster, { isMaster: false, isPrimary: false, isWorker: true, worker });
  syncBuiltinESMExports();
}
