// The server of the soak: the built command line in a process of its own, with its admin page.
import { existsSync, mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { fetchText, host } from '../lib/loopback.mjs';
import { UsageError } from '../lib/options.mjs';
import { start, stop } from '../lib/processes.mjs';
import { readServerStatus } from '../lib/server-status.mjs';
import { payload } from './payload.mjs';

const cli = fileURLToPath(new URL('../../dist/main/cli.js', import.meta.url));
const application = fileURLToPath(new URL('application.mjs', import.meta.url));
const startDeadlineMs = 60_000;
const restartDeadlineMs = 180_000;
const stopGraceMs = 40_000;
/** The admin thread has no part in the load, but the processors in common. */
const adminDeadlineMs = 10_000;

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Children at rest: as many as are ever idle at the same time. */
export const startServers = 3;

/** Directives of every scenario; each adds its own. */
const common = {
  'listen-backlog': 4096,
  'keep-alive-timeout': 3600,
  'max-keep-alive-requests': 0,
  'max-heap-per-child': '64m',
  'request-deadline': '20s',
  'graceful-shutdown-timeout': '30s',
  'start-servers': startServers,
  'min-spare-threads': 2,
  'max-spare-threads': startServers,
  'max-request-workers': 8,
  'lengthy-workers': 1,
};

export class SoakServer {
  #running;
  #log;
  #stopped = null;
  port;
  adminPort;

  static async start(folder, directives) {
    if (!existsSync(cli)) throw new UsageError('dist/main/cli.js is not there: npm run build');
    const server = new SoakServer();
    server.#log = join(folder, 'access.log');
    const files = join(folder, 'files');
    mkdirSync(files);
    writeFileSync(join(files, 'large.bin'), payload);
    const flags = {
      ...common,
      // The kernel chooses; a port that was seen to be free may be somebody else's by then.
      listen: `${host}:0`,
      admin: `${host}:0`,
      'access-log': server.#log,
      ...directives,
    };
    const list = Object.entries(flags).flatMap(([flag, value]) => [`--${flag}`, String(value)]);
    server.#running = start(process.execPath, [cli, 'serve', application, ...list], {
      cwd: folder,
      env: { SOAK_FILES: files },
      keepAllOutput: true,
      // It serves on while Ctrl-C ends the load.
      ownGroup: true,
    });
    try {
      await server.#ready();
    } catch (error) {
      await server.stop();
      throw error;
    }
    return server;
  }

  get pid() {
    return this.#running.pid;
  }

  get ended() {
    return this.#running.ended;
  }

  output() {
    return this.#running.output();
  }

  /** The addresses are printed once it serves. */
  async #ready() {
    const end = performance.now() + startDeadlineMs;
    for (;;) {
      const said = this.output();
      const [, port] = /listening on http:\/\/[\d.]+:(\d+)/.exec(said) ?? [];
      const [, adminPort] = /status on http:\/\/[\d.]+:(\d+)/.exec(said) ?? [];
      if (port !== undefined && adminPort !== undefined) {
        this.port = Number(port);
        this.adminPort = Number(adminPort);
        return;
      }
      if (this.ended !== undefined) throw new Error(`the server ended: ${said}`);
      if (performance.now() > end) throw new Error(`the server is not ready: ${said}`);
      await sleep(50);
    }
  }

  signal(name) {
    this.#running.child.kill(name);
  }

  /** As logrotate does: the log is renamed, then the server opens it anew. One old log is kept. */
  reload() {
    if (existsSync(this.#log)) renameSync(this.#log, `${this.#log}.1`);
    this.signal('SIGHUP');
  }

  /** All workers anew; settles when the last of the old generation has gone. */
  async restartWorkers() {
    const said = () => this.output().split('SIGUSR2: the workers are new').length;
    const before = said();
    this.signal('SIGUSR2');
    const end = performance.now() + restartDeadlineMs;
    while (said() === before) {
      if (performance.now() > end) throw new Error('the workers did not restart');
      await sleep(50);
    }
  }

  async json() {
    return JSON.parse(await this.#page('server-status?json'));
  }

  status() {
    return readServerStatus(this.adminPort, adminDeadlineMs);
  }

  metrics() {
    return this.#page('metrics');
  }

  async #page(path) {
    const url = `http://${host}:${this.adminPort}/${path}`;
    const { status, body } = await fetchText(url, adminDeadlineMs);
    if (status !== 200) throw new Error(`/${path} answered ${status}`);
    return body;
  }

  /** SIGTERM, and how it ended: { code, signal, killed }. */
  async stop() {
    this.#stopped ??= (async () => {
      const { killed } = await stop(this.#running, stopGraceMs);
      return { ...this.#running.ended, killed };
    })();
    return this.#stopped;
  }
}
