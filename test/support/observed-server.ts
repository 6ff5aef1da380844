/**
 * A whole server in this process, of the built code, whose scoreboard the test can read.
 *
 * Role: what `Server` puts together, without the admin thread and with the board in the open.
 * Thread: tests only; the listener runs on the test's own thread.
 */
import { fileURLToPath } from 'node:url';
import type { ListenAddress } from '../../src/listener/acceptor.ts';
import type { Scoreboard as Board } from '../../src/scoreboard/scoreboard.ts';
import type { WorkerOptions } from '../../src/workers/context.ts';

const dist = async <Module>(file: string): Promise<Module> =>
  import(fileURLToPath(new URL(`../../dist/${file}`, import.meta.url)));

const WORKER: WorkerOptions = {
  limitRequestLine: 8190,
  limitRequestFieldSize: 8190,
  limitRequestFields: 100,
  limitRequestBody: 0,
  limitSpilledKb: 1024 * 1024,
  keepAlive: true,
  maxKeepAliveRequests: 0,
  requestDeadlineMs: 0,
  trustProxy: null,
  proxyProtocol: [],
  timeoutMs: 60_000,
  gracefulShutdownTimeoutMs: 0,
  status: null,
  spill: null,
  server: '',
  directPolling: true,
  looksBeforeSleep: 64,
  longHandlerNice: 0,
  indexes: false,
  maxOpenFiles: 16,
  accessLog: null,
  sendFileRoot: null,
};

export interface ObservedServer {
  readonly board: Board;
  readonly port: number;
  /** Ends all threads at once. */
  stop(): Promise<void>;
}

export interface ObservedOptions {
  /** Module with the handler, below test/fixtures. */
  readonly entry: string;
  readonly workers?: number;
  readonly extendedStatus?: boolean;
  readonly worker?: Partial<WorkerOptions>;
  readonly maxConnectionsPerChild?: number;
}

export async function observedServer(options: ObservedOptions): Promise<ObservedServer> {
  type Modules = {
    native: typeof import('../../src/listener/native.ts');
    poller: typeof import('../../src/listener/poller.ts');
    listener: typeof import('../../src/listener/listener.ts');
    children: typeof import('../../src/main/children/children.ts');
    listens: typeof import('../../src/main/adopted-listens.ts');
    buffers: typeof import('../../src/main/shared-buffers.ts');
    scoreboard: typeof import('../../src/scoreboard/scoreboard.ts');
    layout: typeof import('../../src/scoreboard/layout.ts');
    codes: typeof import('../../src/scoreboard/codes.ts');
  };
  const { loadNative, Region } = await dist<Modules['native']>('listener/native.js');
  const { EpollPoller } = await dist<Modules['poller']>('listener/poller.js');
  const { Listener } = await dist<Modules['listener']>('listener/listener.js');
  const { Children, childSlotsFor } = await dist<Modules['children']>('main/children/children.js');
  const { AdoptedListens } = await dist<Modules['listens']>('main/adopted-listens.js');
  const { SharedBuffers } = await dist<Modules['buffers']>('main/shared-buffers.js');
  const { Scoreboard } = await dist<Modules['scoreboard']>('scoreboard/scoreboard.js');
  const { HEADER } = await dist<Modules['layout']>('scoreboard/layout.js');
  const { Phase } = await dist<Modules['codes']>('scoreboard/codes.js');
  const { workers = 2, extendedStatus = true } = options;
  const native = loadNative();
  const board = Scoreboard.create(
    { connectionSlots: 256, childSlots: childSlotsFor(workers), bufferBytes: 16_384 },
    false,
    extendedStatus,
  );
  const batch = new Int32Array(native.ticketWords * native.maxBatch);
  native.attach(Region.board, board.bytes);
  native.attach(Region.batch, new Uint8Array(batch.buffer));
  const timeout = { timeoutMs: 20_000, maxTimeoutMs: 40_000, minRateBytesPerSecond: 500 };
  const listener = new Listener(board, native, new EpollPoller(native, batch), {
    keepAliveTimeoutMs: 5_000,
    timeoutMs: 60_000,
    requestHeader: timeout,
    requestBody: timeout,
    listenBacklog: 511,
    reusePort: false,
    queueLimit: 256,
    queueTimeoutMs: 0,
  });
  const { port }: ListenAddress = listener.listen('127.0.0.1', 0, true);
  listener.start();
  const children = new Children(board, listener, native, {
    entry: fileURLToPath(new URL(`../fixtures/${options.entry}`, import.meta.url)),
    script: null,
    listens: new AdoptedListens(listener, [...listener.addresses]),
    shared: new SharedBuffers(),
    worker: { ...WORKER, ...options.worker },
    startServers: workers,
    minSpareThreads: 1,
    maxSpareThreads: workers,
    maxRequestWorkers: workers,
    asyncRequestWorkerFactor: 2,
    maxConnectionsPerChild: options.maxConnectionsPerChild ?? 0,
    maxRequestsPerChild: 0,
    maxMemoryPerChildBytes: 0,
    maxHeapPerChildBytes: 0,
    gracefulShutdownTimeoutMs: 0,
  });
  await children.start();
  board.setHeader(HEADER.phase.offset, Phase.running);
  listener.open();
  return {
    board,
    port,
    async stop() {
      await children.destroy();
      listener.stop();
      children.closeDescriptors(native);
    },
  };
}
