// The network, the listener or a worker of a server whose sockets are words: accept, dispatch, claim,
// notice, suspend, resume, release, hand-back, close, over a few slots that are reused all the time.
// Where the board has room for them, workers record requests and an observer reads all there is.
import { parentPort, workerData } from 'node:worker_threads';
import { EventRouter, Routed } from '../../../dist/listener/event-router.js';
import { ChildCommand } from '../../../dist/scoreboard/codes.js';
import { takeInbox } from '../../../dist/scoreboard/inbox.js';
import { CHILD, HEADER, SLOT } from '../../../dist/scoreboard/layout.js';
import { countRequest } from '../../../dist/scoreboard/request-counters.js';
import { Scoreboard } from '../../../dist/scoreboard/scoreboard.js';
import { connectionRows, takeSnapshot } from '../../../dist/scoreboard/snapshot.js';
import { ConnectionEvent, ConnectionState, TRANSITIONS } from '../../../dist/scoreboard/states.js';
import { statusAuto } from '../../../dist/scoreboard/status-auto.js';
import { incarnationOf, Outcome, stateOf, successor } from '../../../dist/scoreboard/transition.js';
import {
  beginHandback,
  goIdle,
  handBack,
  hasWaiting,
  wakeChild,
  wakeLowestIdle,
} from '../../../dist/scoreboard/wake.js';
import {
  drain,
  randomOf,
  signal as signalWord,
  sleep,
  sleepWhile,
  yieldThread,
} from './common.mjs';

const { role, number, shared, slots, children, events, seed, sleepMs } = workerData;
const board = Scoreboard.attach(shared);
const world = new Int32Array(workerData.world);
const random = randomOf(seed * 31 + number + 1);

// Words of the world: eventfds, then for each slot its socket, its edge and its client.
const LISTENER_FD = 0;
const OVER = 1;
const RECEIVED = 2;
const wakeFd = (child) => 3 + child;
const socketOf = (slot) => 3 + children + slot * 4;
/** Incarnation + 1 of the connection that has an event. */
const edgeOf = (slot) => socketOf(slot) + 1;
/** Incarnation + 1 of the connection that is open. */
const openOf = (slot) => socketOf(slot) + 2;
/** Who owns it, child + 1: a second proof besides the state word. */
const ownerOf = (slot) => socketOf(slot) + 3;
const FIN = 0x4000_0000;
/** Set by the observer: no further events are needed. */
const ENOUGH = socketOf(slots);
const signal = (fd) => signalWord(world, fd);

const counts = {
  sent: 0,
  received: 0,
  finished: 0,
  ended: 0,
  accepted: 0,
  closed: 0,
  dispatched: 0,
  noticed: 0,
  resumed: 0,
  suspended: 0,
  claimed: 0,
  twoOwners: 0,
  closedTwice: 0,
  lostTicket: 0,
  lostWake: 0,
  lostEvent: 0,
  wrongInbox: 0,
  crossed: 0,
  snapshots: 0,
  wrongSum: 0,
  wrongText: 0,
  changes: 0,
  requestsSeen: 0,
  tornRequest: 0,
  trailsSeen: 0,
  brokenTrail: 0,
};

const receive = (slot) => {
  const unread = Atomics.and(world, socketOf(slot), FIN);
  if (unread === FIN) return 0;
  return unread === 0 ? -1 : unread & ~FIN;
};

/** Bytes sent before the network waits for all of them to be received. */
const BURST = 24;

function network() {
  /** The next event would make up for one that was lost, so from time to time there is none. */
  const settle = () => {
    for (;;) {
      const received = Atomics.load(world, RECEIVED);
      if (received === counts.sent) return;
      if (sleepWhile(world, RECEIVED, received, sleepMs)) continue;
      counts.lostEvent++;
      return;
    }
  };
  const finished = new Int32Array(slots);
  const touch = (slot, open) => {
    Atomics.store(world, edgeOf(slot), open);
    signalWord(world, LISTENER_FD);
  };
  const finish = (slot, open) => {
    finished[slot] = open;
    counts.finished++;
    Atomics.or(world, socketOf(slot), FIN);
    touch(slot, open);
  };
  for (let event = 0; event < events && Atomics.load(world, ENOUGH) === 0; ) {
    const slot = random(slots);
    const open = Atomics.load(world, openOf(slot));
    if (open === 0 || finished[slot] === open) {
      yieldThread();
      continue;
    }
    event++;
    if (random(20) === 0) {
      finish(slot, open);
    } else {
      Atomics.add(world, socketOf(slot), 1);
      counts.sent++;
      touch(slot, open);
      if (random(BURST) === 0 && counts.lostEvent === 0) settle();
    }
    if (random(64) === 0) yieldThread();
  }
  Atomics.store(world, OVER, 1);
  for (let slot = 0; slot < slots; slot++) {
    for (;;) {
      const open = Atomics.load(world, openOf(slot));
      if (open !== 0 && finished[slot] !== open) finish(slot, open);
      else if (open === 0) break;
      else yieldThread();
    }
  }
  signalWord(world, LISTENER_FD);
}

function listener() {
  const router = new EventRouter(board, { hangup: 4, endOfStream: 8 }, signal);
  const closing = [];
  let open = 0;
  const accept = (slot) => {
    if (Atomics.load(world, OVER) === 1) return;
    const word = board.word(slot);
    if (board.move(slot, word, ConnectionEvent.accept) !== Outcome.moved) counts.crossed++;
    open++;
    counts.accepted++;
    Atomics.store(world, openOf(slot), incarnationOf(word) + 1);
  };
  const close = (slot) => {
    const word = board.word(slot);
    if (stateOf(word) !== ConnectionState.closing) counts.closedTwice++;
    if (Atomics.exchange(world, openOf(slot), 0) !== incarnationOf(word) + 1) counts.closedTwice++;
    Atomics.store(world, socketOf(slot), 0);
    board.move(slot, word, ConnectionEvent.reclaimed);
    open--;
    counts.closed++;
    accept(slot);
  };
  for (let slot = 0; slot < slots; slot++) accept(slot);
  board.setHeader(HEADER.slotWatermark.offset, slots);
  while (open > 0 || Atomics.load(world, OVER) === 0) {
    let work = 0;
    for (let slot = 0; slot < slots; slot++) {
      const edge = Atomics.exchange(world, edgeOf(slot), 0);
      if (edge === 0) continue;
      work++;
      const ended = (Atomics.load(world, socketOf(slot)) & FIN) !== 0;
      const routed = router.route(slot, edge - 1, ended ? 9 : 1);
      if (routed === Routed.noticed) counts.noticed++;
      if (routed === Routed.resumed) counts.resumed++;
      if (routed !== Routed.queued) continue;
      counts.dispatched++;
      while (!board.queue.push(slot)) yieldThread();
      wakeLowestIdle(board, signal);
    }
    drain(world, LISTENER_FD);
    beginHandback(board);
    for (let slot = board.handback.pop(); slot >= 0; slot = board.handback.pop())
      closing.push(slot);
    work += closing.length;
    for (const slot of closing.splice(0)) close(slot);
    if (work > 0 || Atomics.load(world, OVER) === 1) {
      if (work === 0) yieldThread();
      continue;
    }
    // An edge that came before the drain is seen by this look; one after it signals again.
    let waiting = board.handback.length;
    for (let slot = 0; slot < slots; slot++) waiting += Atomics.load(world, edgeOf(slot));
    if (waiting > 0) continue;
    if (sleep(world, LISTENER_FD, sleepMs)) continue;
    if (board.handback.length > 0) counts.lostWake++;
  }
  for (let child = 0; child < children; child++) {
    board.setChild(child, CHILD.command, ChildCommand.retire);
    wakeChild(board, child, signal);
  }
}

/** A request of which each part tells of the others. */
const partsOf = (slot, number) => ({
  method: ['GET', 'DELETE', 'X'][number % 3],
  target: `/${slot}/${number}/${'t'.repeat(number % 200)}`,
  host: `${'h'.repeat(number % 60)}${number}`,
  status: 200 + (number % 300),
});

function recorder(child) {
  const { requests, series } = board;
  const bytes = Buffer.alloc(1024);
  const source = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let number = child;
  return (slot, word) => {
    if (requests === null) return;
    board.tick(performance.now());
    const times = random(3);
    for (let time = 0; time < times; time++) {
      number += children;
      const { method, target, host, status } = partsOf(slot, number);
      const line = `${method} ${target} `;
      bytes.write(`${line}${host}\r\n\r\n`, 'latin1');
      const place = {
        lineStart: 0,
        methodBytes: method.length,
        targetBytes: target.length,
        hostStart: line.length,
        hostBytes: host.length,
        minorVersion: number & 1,
      };
      requests.begin(slot, incarnationOf(word), number | 0, source, place);
      if (random(8) === 0) continue;
      requests.end(slot, status, number % 10_000);
      const named = series.seriesOf(method, `/route/${number % 30}`, status);
      countRequest(board, child, status, 1, named);
    }
  };
}

/** What may follow a state. */
const FOLLOWERS = new Map();
for (const { from, to } of TRANSITIONS) {
  for (const name of from) FOLLOWERS.set(name, (FOLLOWERS.get(name) ?? new Set()).add(to));
}

function requestIsWhole({ slot, request }) {
  const [, place, number] = request.target.split('/');
  const { method, target, host, status } = partsOf(slot, Number(number));
  return (
    Number(place) === slot &&
    request.method === method &&
    target.startsWith(request.target) &&
    request.targetBytes === target.length &&
    host.startsWith(request.host) &&
    request.hostBytes === host.length &&
    request.minorVersion === (Number(number) & 1) &&
    (request.active
      ? request.status === 0
      : request.status === status && request.durationMs === Number(number) % 10_000)
  );
}

/** One change leads to the next; the last one may not have been entered yet by who made it. */
function trailIsWhole({ state, trail }) {
  const states = trail.map((entry) => entry.state);
  if (states.length === 0 || states.at(-1) !== state) states.push(state);
  return states.every((each, at) => at === 0 || FOLLOWERS.get(states[at - 1]).has(each));
}

/** Takes snapshots while everything changes. */
const FIGURES = {
  serverName: 'test',
  version: '0.0.0',
  nodeVersion: '0.0.0',
  platform: 'Linux',
  builtAt: new Date(0),
  now: new Date(0),
  uptimeMs: 0,
  loadAverages: [0, 0, 0],
  cpuUserSeconds: 0,
  cpuSystemSeconds: 0,
};
/** Apache's kinds of waiting leave these to ConnsTotal alone. */
const UNLISTED = ['MpmConnectionsQueued', 'MpmConnectionsProcessing', 'MpmConnectionsUpgraded'];
const STATE = /^MpmConnections(?!Max|Accepted|Closed)[A-Z]/;

/** What a reader of `?auto` adds up is its ConnsTotal, by the states and by Apache's keys. */
function textSums(text) {
  const lines = text.split('\n').map((line) => line.split(': '));
  const value = (wanted) => Number(lines.find(([key]) => key === wanted)?.[1]);
  const sum = (holds) =>
    lines.filter(([key]) => holds(key)).reduce((all, [, count]) => all + Number(count), 0);
  const total = value('ConnsTotal');
  const waiting = sum((key) => key.startsWith('ConnsAsync'));
  const workers = value('BusyWorkers') + value('IdleWorkers') + value('GracefulWorkers');
  const letters = lines.find(([key]) => key === 'Scoreboard')[1];
  return (
    sum((key) => STATE.test(key)) === total &&
    waiting + sum((key) => UNLISTED.includes(key)) === total &&
    letters.length === children &&
    letters.replace(/[.S]/g, '').length === workers
  );
}

function observer() {
  const wanted = workerData.snapshots;
  let before = '';
  while (counts.snapshots < wanted) {
    const snapshot = takeSnapshot(board);
    const { connections, connectionsTotal } = snapshot;
    counts.snapshots++;
    if (!textSums(statusAuto(snapshot, FIGURES))) counts.wrongText++;
    const figures = Object.values(connections);
    if (figures.reduce((all, count) => all + count, 0) !== connectionsTotal) counts.wrongSum++;
    const now = figures.join();
    if (now !== before) counts.changes++;
    before = now;
    for (const row of connectionRows(board, slots)) {
      if (row.request !== null) {
        counts.requestsSeen++;
        if (!requestIsWhole(row)) counts.tornRequest++;
      }
      counts.trailsSeen++;
      if (!trailIsWhole(row)) counts.brokenTrail++;
    }
  }
  Atomics.store(world, ENOUGH, 1);
}

function worker(child) {
  const pinned = new Map();
  const record = recorder(child);
  const enter = (slot) => {
    if (Atomics.compareExchange(world, ownerOf(slot), 0, child + 1) !== 0) counts.twoOwners++;
    // As Ownership does: snapshots go by it.
    const sequence = board.slotIndex(slot) + (SLOT.sequence.offset >> 2);
    board.words[sequence] = (board.words[sequence] + 1) | 0;
  };
  const leave = (slot) => {
    if (Atomics.compareExchange(world, ownerOf(slot), child + 1, 0) !== child + 1)
      counts.twoOwners++;
  };
  const attend = (slot) => {
    for (;;) {
      const word = board.word(slot);
      if (stateOf(word) !== ConnectionState.processing) counts.twoOwners++;
      if (board.move(slot, word, ConnectionEvent.attend) === Outcome.moved) return;
    }
  };
  /** What the claim made of the word, 0 where it is not in this state; a flag may come in between. */
  const claim = (slot, state) => {
    for (;;) {
      const word = board.word(slot);
      if (stateOf(word) !== state) return 0;
      if (board.move(slot, word, ConnectionEvent.claim, child) === Outcome.moved) {
        return successor(word, ConnectionEvent.claim, child, 0);
      }
    }
  };
  /** Reads until the socket is empty, then lets go: to wait, or suspended as with a handler unfinished. */
  const serve = (slot, word) => {
    enter(slot);
    for (;;) {
      record(slot, word);
      const count = receive(slot);
      if (count > 0) {
        counts.received += count;
        Atomics.add(world, RECEIVED, count);
        Atomics.notify(world, RECEIVED);
        continue;
      }
      leave(slot);
      if (count === 0) {
        counts.ended++;
        while (board.move(slot, word, ConnectionEvent.close) !== Outcome.moved) attend(slot);
        handBack(board, slot, signal);
        return;
      }
      const suspends = random(3) === 0;
      const event = suspends ? ConnectionEvent.suspend : ConnectionEvent.responseSent;
      if (suspends) pinned.set(slot, word);
      if (board.move(slot, word, event) === Outcome.moved) {
        if (!suspends) return;
        counts.suspended++;
        if (random(2) === 0) return;
        // Its handler goes on by itself.
        const suspended = successor(word, ConnectionEvent.suspend, child, 0);
        if (board.move(slot, suspended, ConnectionEvent.resume) !== Outcome.moved) return;
      } else attend(slot);
      pinned.delete(slot);
      enter(slot);
    }
  };
  for (;;) {
    const resumed = [];
    takeInbox(board, child, resumed);
    for (const slot of resumed) {
      const word = claim(slot, ConnectionState.resuming);
      if (word === 0 || !pinned.has(slot)) counts.wrongInbox++;
      pinned.delete(slot);
      serve(slot, word);
    }
    const ticket = board.queue.pop();
    if (ticket >= 0) {
      const word = claim(ticket, ConnectionState.queued);
      if (word !== 0) {
        counts.claimed++;
        serve(ticket, word);
      } else counts.lostTicket++;
      continue;
    }
    const retiring = board.child(child, CHILD.command) !== ChildCommand.run;
    if (retiring && pinned.size === 0) break;
    drain(world, wakeFd(child));
    if (retiring ? hasWaiting(board, child) : !goIdle(board, child)) continue;
    if (sleep(world, wakeFd(child), sleepMs)) continue;
    // Nobody signalled for so long: then there must be nothing to do.
    if (board.idle.has(child) && board.queue.length > 0 && board.idle.count === children)
      counts.lostWake++;
    if (hasWaiting(board, child)) counts.lostWake++;
  }
}

if (role === 'network') network();
else if (role === 'listener') listener();
else if (role === 'observer') observer();
else worker(number);
parentPort.postMessage(counts);
