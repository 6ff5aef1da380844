// What `serve` prints, and how signals and errors end it; the server is a stand-in without sockets.
import { EventEmitter } from 'node:events';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  type LoadDirectives,
  type ServerModule,
  type Shell,
  serve,
} from '../../../src/main/cli/serve.ts';
import { resolveDirectives } from '../../../src/main/config/directives.ts';
import type { Reloaded } from '../../../src/main/server.ts';
import { TWO_CORES } from './helpers.ts';

const ENTRY = fileURLToPath(import.meta.url);
const ADDRESS = { host: '::', port: 8080, family: 6 } as const;
const fault = (code: string, message: string) => Object.assign(new Error(message), { code });

/** Listens and closes as it is told to; a promise that is left out never settles. */
class StandIn extends EventEmitter {
  reopened = 0;
  readonly closes: string[] = [];
  readonly addresses = [ADDRESS];
  readonly adminAddress = { host: '127.0.0.1', port: 8081, family: 4 } as const;
  start: () => Promise<readonly (typeof ADDRESS)[]> = async () => this.addresses;
  drained: Promise<void> = new Promise(() => {});
  forced: Promise<void> = new Promise(() => {});

  listen() {
    return this.start();
  }
  close(options?: { force?: boolean }) {
    this.closes.push(options?.force ? 'force' : 'drain');
    return options?.force ? this.forced : this.drained;
  }
  reopenLogs() {
    this.reopened++;
  }
  reloaded: () => Promise<Reloaded> = async () => ({ applied: [], restarted: [], kept: [] });
  reload() {
    return this.reloaded();
  }
  restarted: () => Promise<void> = async () => {};
  restartWorkers() {
    return this.restarted();
  }
  workers = 2;
  adjustWorkers(by: 1 | -1) {
    this.workers += by;
    return this.workers;
  }
}

let server = new StandIn();
let printed: string[] = [];
let complaints: string[] = [];
let exits: number[] = [];
let signals = new EventEmitter();
beforeEach(() => {
  server = new StandIn();
  printed = [];
  complaints = [];
  exits = [];
  signals = new EventEmitter();
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

const shell: Shell = {
  print: (line) => printed.push(line),
  complain: (line) => complaints.push(line),
  exit: (code) => exits.push(code),
  onSignal: (signal, handler) => signals.on(signal, handler),
};
const start = (
  load: () => Promise<ServerModule> = async () => ({ createServer: () => server }),
  entry = ENTRY,
  reload?: LoadDirectives,
) => {
  const directives = resolveDirectives({}, 'test', TWO_CORES);
  return serve({ entry, directives }, '1.2.3', shell, load, reload);
};
const send = async (signal: NodeJS.Signals) => {
  expect(signals.emit(signal, signal), `${signal} is handled`).toBe(true);
  await vi.advanceTimersByTimeAsync(0);
};

describe('a start', () => {
  it('prints each address and where the status page is', async () => {
    await start();
    expect(printed).toEqual([
      `hybrid-mpm 1.2.3 listening on http://[::]:8080 (pid ${process.pid}, 2 .. 16 workers, handler ${ENTRY})`,
      'status on http://127.0.0.1:8081/server-status',
    ]);
    expect(complaints).toEqual([]);
    expect(exits).toEqual([]);
  });

  it('that fails is one line with its code, and exit code 1', async () => {
    server.start = () =>
      Promise.reject(fault('ERR_MPM_ADDRESS_IN_USE', 'listen :::8080:\n  in use'));
    await start();
    expect(printed).toEqual([]);
    expect(complaints).toEqual(['ERR_MPM_ADDRESS_IN_USE: listen :::8080: | in use']);
    expect(exits).toEqual([1]);
  });

  it('without the native part is one line with its code', async () => {
    await start(() => Promise.reject(fault('ERR_MPM_NATIVE_MISSING', 'not built')));
    expect(complaints).toEqual(['ERR_MPM_NATIVE_MISSING: not built']);
    expect(exits).toEqual([1]);
  });

  it('that meets a defect shows its stack and ends with 70', async () => {
    server.start = () => Promise.reject(new TypeError('oops'));
    await start();
    expect(complaints).toEqual([expect.stringMatching(/^ERR_MPM_DEFECT: TypeError: oops\n +at /)]);
    expect(exits).toEqual([70]);
  });

  it('of an entry that does not exist loads no server', async () => {
    vi.useRealTimers();
    const load = vi.fn<() => Promise<ServerModule>>();
    await start(load, 'no/such/entry.mjs');
    expect(load).not.toHaveBeenCalled();
    expect(complaints).toEqual([
      expect.stringMatching(/^ERR_MPM_ENTRY_NOT_FOUND: no\/such\/entry/),
    ]);
    expect(exits).toEqual([1]);
  });

  it('that a signal ends says nothing of its own failure', async () => {
    let refuse: (error: Error) => void = () => {};
    server.start = () =>
      new Promise((_resolve, reject) => {
        refuse = reject;
      });
    server.drained = Promise.resolve();
    const running = start();
    await vi.waitUntil(() => signals.listenerCount('SIGTERM') > 0);
    await send('SIGTERM');
    refuse(fault('ERR_MPM_ENTRY_FAILED', 'stopped'));
    await running;
    expect(complaints).toEqual([]);
    expect(exits).toEqual([0]);
  });
});

describe('a running server', () => {
  it.each(['SIGTERM', 'SIGINT'] as const)('drains on %s and ends with 0', async (signal) => {
    let finish = () => {};
    server.drained = new Promise((resolve) => {
      finish = resolve;
    });
    await start();
    await send(signal);
    expect(server.closes).toEqual(['drain']);
    expect(printed.at(-1)).toBe(`${signal}: finishing requests within 30s; once more ends at once`);
    expect(exits).toEqual([]);
    finish();
    await vi.advanceTimersByTimeAsync(0);
    expect(exits).toEqual([0]);
  });

  it.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('is forced by a second signal, %s, and ends with %i', async (signal, code) => {
    // One end for both, as with the real server.
    let finish = () => {};
    server.drained = new Promise((resolve) => {
      finish = resolve;
    });
    server.forced = server.drained;
    await start();
    await send('SIGTERM');
    await send(signal);
    finish();
    await vi.advanceTimersByTimeAsync(0);
    expect(server.closes).toEqual(['drain', 'force']);
    expect(exits[0]).toBe(code);
  });

  it('ends two seconds after a forced stop that hangs', async () => {
    await start();
    await send('SIGTERM');
    await send('SIGTERM');
    await vi.advanceTimersByTimeAsync(1999);
    expect(exits).toEqual([]);
    await vi.advanceTimersByTimeAsync(1);
    expect(exits).toEqual([143]);
  });

  it('has the workers restarted by SIGUSR2, and says when they are new', async () => {
    await start();
    printed = [];
    await send('SIGUSR2');
    expect(printed).toEqual(['SIGUSR2: restarting the workers', 'SIGUSR2: the workers are new']);
    expect(complaints).toEqual([]);
    expect(exits).toEqual([]);
  });

  it('goes on with the old workers where the application does not load, and says why', async () => {
    await start();
    server.restarted = () => Promise.reject(fault('ERR_MPM_ENTRY_FAILED', 'app.mjs is broken'));
    await send('SIGUSR2');
    expect(complaints).toEqual([
      'SIGUSR2 failed, the old workers go on: ERR_MPM_ENTRY_FAILED: app.mjs is broken',
    ]);
    expect(exits).toEqual([]);
  });

  it('says what SIGHUP has changed and what it could not', async () => {
    await start();
    printed = [];
    server.reloaded = async () => ({
      applied: ['keepAliveTimeout'],
      restarted: ['keepAlive'],
      kept: ['listen'],
    });
    await send('SIGHUP');
    expect(printed).toEqual([
      'SIGHUP: reloaded; changed: keepAliveTimeout; changed with new workers: keepAlive; kept until the server is started anew: listen',
    ]);
  });

  it('refuses an invalid configuration at SIGHUP, and goes on', async () => {
    await start(undefined, ENTRY, async () => resolveDirectives({ timeout: 'soon' }, 'mpm.config'));
    await send('SIGHUP');
    expect(complaints).toEqual([
      expect.stringMatching(
        /^SIGHUP refused: ERR_MPM_DIRECTIVE: timeout = "soon" \(mpm\.config\): must be a time/,
      ),
    ]);
    expect(server.closes).toEqual([]);
    expect(exits).toEqual([]);
  });

  it('asks for one worker more by SIGTTIN and one fewer by SIGTTOU', async () => {
    await start();
    printed = [];
    await send('SIGTTIN');
    await send('SIGTTOU');
    expect(printed).toEqual(['SIGTTIN: 3 workers', 'SIGTTOU: 2 workers']);
  });

  it('has logs opened anew by SIGHUP, and goes on', async () => {
    await start();
    await send('SIGHUP');
    await send('SIGHUP');
    expect(server.reopened).toBe(2);
    expect(server.closes).toEqual([]);
    expect(exits).toEqual([]);
  });

  it('that fails for good says so and ends with 1', async () => {
    await start();
    server.emit('error', fault('ERR_MPM_NO_CHILD', 'no child stays alive'));
    expect(complaints).toEqual(['ERR_MPM_NO_CHILD: no child stays alive']);
    expect(exits).toEqual([1]);
  });
});
