/**
 * The server within the process of a test suite: node --import .../test/suites/in-process.mjs ...
 *
 * Every http.Server that the process has listen is served by this project instead: the production
 * listener, scoreboard and serving loop over real sockets, with one worker on the thread of the tests,
 * since their handlers use variables of theirs. Needs a build.
 *
 * MPM_SUITE_TRACE=1 tells at exit how many requests it has served: a suite that went past it would
 * pass as well. MPM_SUITE_ENDS=1 ends the server when no server of the tests has listened for a while, for
 * tests that wait for the process to end by itself.
 */
import { writeSync } from 'node:fs';
import { Listener } from '../../dist/listener/listener.js';
import { loadNative, Region } from '../../dist/listener/native.js';
import { EpollPoller } from '../../dist/listener/poller.js';
import { asNodeError } from '../../dist/main/adopted-listens.js';
import { bindAddress } from '../../dist/main/bind-address.js';
import { resolveDirectives } from '../../dist/main/config/directives.js';
import { ChildStatus, Phase } from '../../dist/scoreboard/codes.js';
import { CHILD, HEADER } from '../../dist/scoreboard/layout.js';
import { Scoreboard } from '../../dist/scoreboard/scoreboard.js';
import { AdoptedServers } from '../../dist/workers/adoption/adopted-servers.js';
import { WorkerContext } from '../../dist/workers/context.js';
import { ServingLoop } from '../../dist/workers/serving-loop.js';
import { adoptedTarget } from '../../dist/workers/upgrade/upgrade-target.js';
import { UpgradingHandler } from '../../dist/workers/upgrade/upgrading-handler.js';

const CHILD_SLOT = 0;
const directives = resolveDirectives({}, 'suite');
const native = loadNative();
const board = Scoreboard.create(
  { connectionSlots: 512, childSlots: 2, bufferBytes: directives.connectionBufferBytes },
  false,
);
const batch = new Int32Array(native.ticketWords * native.maxBatch);
native.attach(Region.board, board.bytes);
native.attach(Region.batch, new Uint8Array(batch.buffer));
const poller = new EpollPoller(native, batch);
const listener = new Listener(board, native, poller, {
  keepAliveTimeoutMs: directives.keepAliveTimeoutMs,
  timeoutMs: directives.timeoutMs,
  requestHeader: directives.requestReadTimeout.header,
  requestBody: directives.requestReadTimeout.body,
  listenBacklog: directives.listenBacklog,
  reusePort: false,
  queueLimit: 512,
});

const servers = new AdoptedServers(
  ({ host, port }) => {
    // No names are looked up here: a suite listens on its own machine.
    const numeric = host === 'localhost' ? '127.0.0.1' : host || '::';
    begin();
    try {
      const bound = bindAddress(listener, numeric, port);
      return { address: bound.host, family: `IPv${bound.family}`, port: bound.port };
    } catch (error) {
      throw Object.assign(error, asNodeError(error));
    }
  },
  {
    adopts: (wanted) => wanted !== null,
    lastClosed: () => {
      if (process.env.MPM_SUITE_ENDS) ending = setTimeout(end, NEXT_SERVER_MS);
      return false;
    },
  },
);

/** How long a test may take from the close of one server to the next. */
const NEXT_SERVER_MS = 300;
let watch = null;
let ending = null;

/** Before a test has something listen, nothing of this keeps its process. */
function begin() {
  clearTimeout(ending);
  if (watch !== null) return;
  watch = native.watch(wakeFd, 0, () => loop.onSignal());
  context.setWord(CHILD.status, ChildStatus.ready);
  listener.start();
  board.setHeader(HEADER.phase.offset, Phase.running);
  listener.open();
  context.wakeSelf();
}

/** As node:http: with its last server a process has nothing left that keeps it. */
function end() {
  listener.drain().then(() => {
    listener.stop();
    native.unwatch(watch);
  });
}

const wakeFd = native.eventfdCreate();
board.setChild(CHILD_SLOT, CHILD.wakeFd, wakeFd);
board.setChild(CHILD_SLOT, CHILD.life, 1);
const context = new WorkerContext(
  board,
  native,
  CHILD_SLOT,
  {
    limitRequestLine: directives.limitRequestLineBytes,
    limitRequestFieldSize: directives.limitRequestFieldSizeBytes,
    limitRequestFields: directives.limitRequestFields,
    limitRequestBody: directives.limitRequestBodyBytes,
    limitSpilledKb: Math.floor(directives.limitSpilledBodyBytes / 1024),
    spill: null,
    keepAlive: true,
    maxKeepAliveRequests: 0,
    requestDeadlineMs: 0,
    server: '',
    // The lead is for workers on threads of their own.
    directPolling: false,
    looksBeforeSleep: 0,
    indexes: false,
    maxOpenFiles: 4,
    accessLog: null,
    sendFileRoot: null,
    trustProxy: null,
    proxyProtocol: [],
    timeoutMs: directives.timeoutMs,
    gracefulShutdownTimeoutMs: 0,
  },
  new UpgradingHandler(servers, adoptedTarget(servers)),
);
const loop = new ServingLoop(context, { wantsRetire: () => {}, ended: () => {} });
servers.install();

if (process.env.MPM_SUITE_TRACE) {
  process.on('exit', () => {
    const served = board.childDouble(CHILD_SLOT, CHILD.requests);
    if (served > 0) writeSync(2, `hybrid-mpm served ${served} requests of this suite\n`);
  });
}
