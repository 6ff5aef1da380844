/**
 * A server, its clients and its kernel in one thread, whose every move is made by a seed.
 *
 * Role: chooses who goes next, one callback at a time; interrupts a thread at any operation on shared
 * memory and any native call, and has others go first or the thread die there; moves the clock.
 */
import type { Listener } from '../../src/listener/listener.ts';
import { Phase } from '../../src/scoreboard/codes.ts';
import { CHILD, HEADER } from '../../src/scoreboard/layout.ts';
import type { Scoreboard } from '../../src/scoreboard/scoreboard.ts';
import type { WorkerOptions } from '../../src/workers/context.ts';
import { Client } from './client.ts';
import { grant, type Runtime } from './host.ts';
import { Inspector } from './inspector.ts';
import { Backlog, Descriptors, ERRNO, PollSet } from './kernel.ts';
import { nativeOf } from './native.ts';
import { optionsFrom, type WorldOptions } from './options.ts';
import type { Production } from './production.ts';
import { Random } from './random.ts';
import { Socket } from './sockets.ts';
import { Supervisor } from './supervisor.ts';
import { type Immediate, SimulatedThread, type Timer } from './thread.ts';
import { ensure, ThreadDeath, Violation } from './violation.ts';

/** A client that nothing has moved for so long is stuck: the longest timeouts one after another. */
const STUCK_MS = 90_000;
/** Steps in which everything has to come to its end once no new client comes. */
const CLOSING_STEPS = 400_000;
/** The listener's shortest linger, less the period of its sweep. */
const LINGER_MS = 1_900;
/** Longest time for which a thread has no processor: others lose patience with it meanwhile. */
const PAUSE_MS = 25;
/**
 * Steps that others make, all together, before the one that was interrupted first goes on: some spin while
 * it stands between two operations of a ring.
 */
const NESTED_STEPS = 300;
const EVENTS_KEPT = 60;
const TRACE_KEPT = 20_000;
/** Steps between two looks at clients that wait. */
const PATIENCE_STEPS = 512;

/** How often what a simulation should come to has come. */
export interface Counts {
  /** Events of a connection whose slot has another. */
  readonly stale: number;
  readonly takeBacks: number;
  readonly delegations: number;
  /** Responses whose rest the listener sent. */
  readonly completions: number;
  /** Queued connections that had lost their ticket. */
  readonly requeued: number;
  readonly rewakes: number;
  /** Of accepting. */
  readonly pauses: number;
  /** Moves that another thread forestalled. */
  readonly lostMoves: number;
  readonly successions: number;
}

/** One thing that happened, for the report of a violation. */
interface Event {
  step: number;
  at: number;
  who: string;
  depth: number;
}

export class World implements Runtime {
  readonly code: Production;
  readonly random: Random;
  readonly options: WorldOptions;
  readonly descriptors = new Descriptors();
  readonly backlog = new Backlog();
  readonly board: Scoreboard;
  readonly listenerThread: SimulatedThread;
  supervisor!: Supervisor;
  readonly inspector: Inspector;
  #listener!: Listener;
  readonly #threads: SimulatedThread[] = [];
  readonly #clients: Client[] = [];
  readonly #said: string[] = [];
  readonly #events: Event[] = [];
  readonly #ready: (SimulatedThread | Client)[] = [];
  #current: SimulatedThread | null = null;
  #depth = 0;
  /** Made while a thread stood interrupted, since nobody did. */
  #nestedSteps = 0;
  #clientIds = 0;
  #closing = false;
  #snapshot: Uint8Array | null = null;
  /** Milliseconds of the simulated clock. */
  #now: number;
  steps = 0;
  requests = 0;
  /** Descriptors of clients that are open. */
  connections = 0;
  lastDeathAt = Number.NEGATIVE_INFINITY;
  #lastStallAt = Number.NEGATIVE_INFINITY;
  readonly #troubled = new WeakSet<Socket>();

  /** Keeps all that happens for the story. */
  readonly tracing: boolean;
  readonly #trace: string[] = [];
  readonly #states: Int32Array;

  /** @param given takes the place of what the seed says */
  constructor(
    code: Production,
    seed: number,
    { tracing = false, ...given }: Partial<WorldOptions> & { readonly tracing?: boolean } = {},
  ) {
    this.code = code;
    this.tracing = tracing;
    this.random = new Random(seed);
    const options = { ...optionsFrom(this.random), ...given };
    this.options = options;
    // Ticks and microseconds wrap soon in some worlds.
    this.#now = this.random.pick([10, 1_000_000, 2 ** 31 - 20_000, 2 ** 32 / 1000 - 5_000]);
    this.board = code.Scoreboard.create({
      connectionSlots: options.connectionSlots,
      childSlots: options.workers * 2,
      bufferBytes: options.bufferBytes,
    });
    this.listenerThread = new SimulatedThread(this, 'listener', -1);
    this.#threads.push(this.listenerThread);
    this.inspector = new Inspector(this);
    this.#states = new Int32Array(options.connectionSlots);
  }

  /** Makes the listener and starts the first children; within the world's globals. */
  begin(): void {
    const { code, options } = this;
    this.#current = this.listenerThread;
    const native = nativeOf(this, this.listenerThread);
    native.attach(0, this.board.bytes);
    native.attach(2, this.board.buffers);
    const batch = new Int32Array(native.maxBatch * native.ticketWords);
    native.attach(1, new Uint8Array(batch.buffer));
    const poller = new code.EpollPoller(native, batch);
    this.#listener = new code.Listener(this.board, native, poller, options.listener);
    this.board.setHeader(HEADER.phase.offset, Phase.running);
    this.#listener.listen('127.0.0.1', 80, false);
    this.#listener.start();
    this.supervisor = new Supervisor(this, this.#listener, native, workerOptions(options));
    this.supervisor.start();
    this.#current = null;
    this.#grant();
  }

  // ---- what production asks for -------------------------------------------------------------------

  clock(): number {
    return this.#now;
  }

  get now(): number {
    return this.#now;
  }

  setTimer(callback: () => void, milliseconds: number): Timer {
    return this.#running.setTimer(callback, milliseconds);
  }

  clearTimer(timer: unknown): void {
    for (const thread of this.#threads) thread.clearTimer(timer as Timer);
  }

  setImmediate(callback: () => void): Immediate {
    return this.#running.setImmediate(callback);
  }

  clearImmediate(immediate: unknown): void {
    (immediate as Immediate).callback = null;
  }

  job(callback: () => void): void {
    this.#running.job(callback);
  }

  say(line: string): void {
    if (this.#said.length < EVENTS_KEPT) this.#said.push(line.split('\n', 1)[0] as string);
  }

  get #running(): SimulatedThread {
    if (this.#current === null) throw new Error('no thread runs');
    return this.#current;
  }

  // ---- interruptions ------------------------------------------------------------------------------

  #grant(): void {
    grant(this.random.gap(this.options.operationGap));
  }

  /** A thread is about to touch what others see; `memory` is null for a native call. */
  operation(memory: Int32Array | null): void {
    const thread = this.#current;
    if (thread === null) {
      this.#grant();
      return;
    }
    if (thread.dead) {
      grant(1);
      throw new ThreadDeath();
    }
    // Not within a ring, whose cells V8 does not end a thread between (ARCHITECTURE.md, known gaps).
    const mayDie = !thread.isListener && (memory === null || memory === this.board.words);
    if (mayDie && (thread.doomed || this.#fateful())) this.#die(thread);
    const { preemptions } = this.options;
    if (this.#nestedSteps >= NESTED_STEPS) {
      this.#grant();
      return;
    }
    if (this.random.chance(this.options.pauses)) this.#pause(this.random.fraction() * PAUSE_MS);
    for (let turns = this.random.below(preemptions + 1); turns > 0; turns--) {
      if (!this.#nested()) break;
    }
    this.#grant();
  }

  #fateful(): boolean {
    const { deaths } = this.options.faults;
    return deaths > 0 && !this.#closing && this.random.chance(deaths);
  }

  /** What the frames of a dying thread still write on their way out is not to be. */
  #die(thread: SimulatedThread): never {
    thread.dead = true;
    this.#snapshot = this.board.bytes.slice();
    grant(1);
    throw new ThreadDeath();
  }

  /** One step of somebody else, while frames of others are on the stack; false: nobody is ready. */
  #nested(): boolean {
    const next = this.#next();
    if (next === null) return false;
    this.#nestedSteps++;
    this.#take(next);
    return true;
  }

  /** A handler computes. */
  burn(milliseconds: number): void {
    const thread = this.#running;
    this.#pause(milliseconds);
    if (thread.doomed) this.#die(thread);
  }

  /** Tickets are in the hands of a thread, which may hold them for a while before it looks at them. */
  afterPoll(): void {
    if (this.#current !== null && this.random.chance(this.options.pauses * 4)) {
      this.#pause(this.random.fraction() * PAUSE_MS);
    }
  }

  /** Everybody else goes on for so long. */
  #pause(milliseconds: number): void {
    const until = this.#now + milliseconds;
    while (this.#now < until && this.#nestedSteps < NESTED_STEPS) {
      if (!this.#nested()) this.#now = Math.min(until, this.#nextEventAt());
    }
  }

  /** Runs one callback of a thread. */
  run(thread: SimulatedThread, body: () => void): void {
    const outer = this.#current;
    this.#current = thread;
    thread.running = true;
    this.#depth++;
    try {
      body();
    } catch (error) {
      if (error instanceof Violation) throw error;
      if (!(error instanceof ThreadDeath) || !thread.dead) {
        throw new Violation(`${thread.name}: uncaught ${(error as Error).stack ?? error}`);
      }
    } finally {
      this.#depth--;
      thread.running = false;
      this.#current = outer;
    }
    if (thread.dead) this.#bury(thread);
  }

  #bury(thread: SimulatedThread): void {
    if (this.#snapshot !== null) this.board.bytes.set(this.#snapshot);
    this.#snapshot = null;
    this.lastDeathAt = this.#now;
    this.#trouble();
    this.#threads.splice(this.#threads.indexOf(thread), 1);
    for (const fd of thread.files) this.descriptors.close(fd, `the end of ${thread.name}`);
    this.supervisor.died(thread);
    this.#grant();
  }

  // ---- threads ------------------------------------------------------------------------------------

  add(thread: SimulatedThread): void {
    this.#threads.push(thread);
  }

  remove(thread: SimulatedThread): void {
    const at = this.#threads.indexOf(thread);
    if (at >= 0) this.#threads.splice(at, 1);
  }

  /** It is to be ended, whatever it does. */
  doom(thread: SimulatedThread): void {
    thread.doomed = true;
    // One that sleeps has no operation to die at.
    if (thread.running) return;
    thread.dead = true;
    this.#bury(thread);
  }

  attach(): Scoreboard {
    return this.code.Scoreboard.attach(this.board.shared);
  }

  openAssignments(slot: number): void {
    this.code.openAssignments(this.board, slot);
  }

  // ---- the kernel's questions ---------------------------------------------------------------------

  get faults() {
    return this.options.faults;
  }

  acceptError(): number {
    if (!this.random.chance(this.faults.acceptErrors)) return 0;
    return this.random.pick([ERRNO.EMFILE, ERRNO.ENFILE, ERRNO.ENOBUFS, ERRNO.ENOMEM]);
  }

  /** A connection was accepted; `index` is where its slot begins. */
  opened(fd: number, socket: Socket, index: number): number {
    let slot = 0;
    while (this.board.slotIndex(slot) !== index) slot++;
    socket.slot = slot;
    this.connections++;
    return fd;
  }

  beforeClose(thread: SimulatedThread, fd: number): void {
    const socket = this.descriptors.find(fd);
    if (!(socket instanceof Socket)) return;
    // It was lingered for: whoever still reads then is too slow.
    if (this.#now - socket.finSentAt >= LINGER_MS) this.#troubled.add(socket);
    ensure(thread.isListener, () => `${thread.name} closes a connection`);
    this.connections--;
  }

  /** Receives, sends and discards are the owner's. */
  checkOwner(thread: SimulatedThread, socket: Socket, call: string): void {
    const owner = this.inspector.ownerOf(socket.slot);
    if (owner === thread.child || (owner < 0 && thread.isListener)) return;
    throw new Violation(
      `${call} by ${thread.name} on slot ${socket.slot}, which child ${owner} owns`,
    );
  }

  /** An event was routed; `word` is what the state word of its slot was before. */
  routed(slot: number, incarnation: number, word: number, as: number): void {
    const stale = word >>> 18 !== incarnation;
    ensure(
      !stale || as === this.code.Routed.stale,
      () => `an event of an earlier connection did something to the one in slot ${slot}`,
    );
  }

  /** A handler is called for this request. */
  served(id: number, request: number): void {
    this.requests++;
    const client = this.#clients.find((other) => other.id === id);
    if (client === undefined) return;
    // Only what its worker died of is handled twice, or what was given to another before it began.
    const isNext = request === client.served || client.excuse !== '';
    ensure(
      isNext || this.excuseFor(client.socket) !== '',
      () => `a handler is called for request ${id}/${request}, and ${client.served} were before it`,
    );
    client.served = request + 1;
  }

  /** Something went wrong on the server's side while this connection was open. */
  excuseFor(socket: Socket): string {
    if (this.#troubled.has(socket)) return 'trouble';
    return this.faults.noWatches > 0 ? 'refused' : '';
  }

  /** No new clients come. */
  get isClosing(): boolean {
    return this.#closing;
  }

  get hasStalls(): boolean {
    return this.#now - this.#lastStallAt < 20_000;
  }

  #trouble(): void {
    for (const { socket } of this.#clients) this.#troubled.add(socket);
  }

  // ---- steps --------------------------------------------------------------------------------------

  /** Whoever goes next, of those that can; null: nobody can. */
  #next(): SimulatedThread | Client | null {
    const ready = this.#ready;
    ready.length = 0;
    for (const thread of this.#threads) {
      if (!thread.running && !thread.dead && thread.isReady) ready.push(thread);
    }
    for (const client of this.#clients) if (client.nextAt <= this.#now) ready.push(client);
    if (ready.length === 0) return null;
    const next = this.random.pick(ready);
    const { slowThread } = this.options;
    if (slowThread < 0 || ready.length === 1 || next !== this.#threads[slowThread]) return next;
    return this.random.chance(0.1) ? next : this.random.pick(ready);
  }

  #take(next: SimulatedThread | Client): void {
    this.steps++;
    if (this.#depth === 0) this.#nestedSteps = 0;
    const who = next instanceof Client ? `client ${next.id}` : next.name;
    this.#note(who);
    this.#now += this.random.fraction() * this.options.stepMs;
    if (next instanceof Client) next.act();
    else next.turn();
  }

  /** Something of interest, with the connections that have moved since the last. */
  trace(what: string): void {
    for (let slot = 0; slot < this.#states.length; slot++) {
      const word = this.inspector.wordOf(slot);
      if (word === this.#states[slot]) continue;
      this.#states[slot] = word;
      this.#trace.push(`${'  '.repeat(this.#depth)}slot ${slot}: ${this.inspector.describe(slot)}`);
    }
    this.#trace.push(`${'  '.repeat(this.#depth)}${what}`);
    if (this.#trace.length > 2 * TRACE_KEPT) this.#trace.splice(0, TRACE_KEPT);
  }

  #note(who: string): void {
    if (this.tracing) this.trace(`step ${this.steps}, ${this.#now.toFixed(3)}: ${who}`);
    const { steps } = this;
    const index = steps % EVENTS_KEPT;
    const event = this.#events[index];
    if (event === undefined) {
      this.#events[index] = { step: steps, at: this.#now, who, depth: this.#depth };
      return;
    }
    event.step = steps;
    event.at = this.#now;
    event.who = who;
    event.depth = this.#depth;
  }

  /** When something happens by itself. */
  #nextEventAt(): number {
    let at = Number.POSITIVE_INFINITY;
    for (const thread of this.#threads) {
      if (!thread.running) at = Math.min(at, thread.nextDue);
    }
    for (const client of this.#clients) at = Math.min(at, client.nextAt);
    return at;
  }

  #step(): void {
    if (!this.#closing) this.#connect();
    this.#disturb();
    const next = this.#next();
    if (next === null) this.#sleep();
    else this.#take(next);
    if (Violation.first !== null) throw Violation.first;
    this.inspector.check();
    if (this.steps % PATIENCE_STEPS === 0) this.#lookForStuck();
    this.#forget();
  }

  #sleep(): void {
    const at = this.#nextEventAt();
    ensure(Number.isFinite(at), () => 'nobody has anything to wait for');
    this.inspector.slept(at - this.#now);
    this.#now = at;
    this.#lookForStuck();
  }

  #connect(): void {
    const { clients, faultless } = this.options;
    if (this.#clients.length >= clients || !this.random.chance(0.5)) return;
    const { random } = this;
    const client = new Client(this, ++this.#clientIds, {
      faultless: random.chance(faultless),
      window: random.pick([1, 1, 2, 8]),
      requests: random.pick([1, 2, 5, 20]),
      paceMs: random.pick([0.01, 0.1, 0.1, 1, 20]),
      readBytes: random.pick([400, 6_000, 65_536, 65_536]),
    });
    this.#clients.push(client);
    this.backlog.connect(client.socket);
  }

  #disturb(): void {
    const { spurious, stalls } = this.options.faults;
    if (spurious > 0 && this.random.chance(spurious)) {
      for (const [, file] of this.descriptors)
        if (file instanceof PollSet) file.wakeOne(this.random);
    }
    if (stalls > 0 && this.random.chance(stalls)) {
      this.#now += this.random.between(1, 4_000);
      this.#lastStallAt = this.#now;
      this.#trouble();
    }
  }

  #lookForStuck(): void {
    for (const client of this.#clients) {
      if (!client.waits || this.#now - client.movedAt < STUCK_MS) continue;
      const { slot } = client.socket;
      throw new Violation(`client ${client.id} (slot ${slot}) has waited for ${STUCK_MS / 1000} s`);
    }
  }

  #forget(): void {
    for (let index = this.#clients.length - 1; index >= 0; index--) {
      const client = this.#clients[index] as Client;
      if (client.over) this.#clients.splice(index, 1);
    }
  }

  /** So many steps, and the end. */
  play(steps: number): void {
    while (this.steps < steps) this.#step();
    this.#end();
  }

  /** Every client is served to its end, every child retires, and nothing is left. */
  #end(): void {
    this.#closing = true;
    const last = this.steps + CLOSING_STEPS;
    const until = (done: () => boolean, what: string) => {
      while (!done()) {
        ensure(this.steps < last, () => `${what} after ${CLOSING_STEPS} steps`);
        this.#step();
      }
    };
    until(() => this.#clients.length === 0 && this.connections === 0, 'clients are left');
    until(() => !this.supervisor.hasDying, 'the dead are not buried');
    this.run(this.listenerThread, () => this.supervisor.retireAll());
    until(() => this.supervisor.isEmpty, 'children are left');
    this.inspector.check();
    this.run(this.listenerThread, () => {
      this.#listener.stop();
      this.supervisor.closeDescriptors();
    });
    for (const [fd, file] of this.descriptors) {
      throw new Violation(`descriptor ${fd} (${file.constructor.name}) is left open`);
    }
  }

  /** What production has counted of things that are rare. */
  get counts(): Counts {
    const { board } = this;
    const ofChildren = (field: { readonly offset: number }) => {
      let sum = 0;
      for (let child = 0; child < board.childSlots; child++) sum += board.childDouble(child, field);
      return sum;
    };
    return {
      stale: board.headerDouble(HEADER.staleEvents) + ofChildren(CHILD.staleEvents),
      takeBacks: board.headerDouble(HEADER.takeBacks),
      delegations: ofChildren(CHILD.delegations),
      completions: board.headerDouble(HEADER.completions),
      requeued: board.headerDouble(HEADER.requeuedOrphans),
      rewakes: board.headerDouble(HEADER.rewakes),
      pauses: board.headerDouble(HEADER.acceptPauses),
      lostMoves: ofChildren(CHILD.lostMoves),
      successions: this.supervisor.successions,
    };
  }

  // ---- telling ------------------------------------------------------------------------------------

  /** The last things that happened, the latest last. */
  story(): string {
    const { steps } = this;
    const lines: string[] = this.#trace.slice(-TRACE_KEPT);
    for (let step = Math.max(1, steps - EVENTS_KEPT + 1); step <= steps; step++) {
      const event = this.#events[step % EVENTS_KEPT];
      if (event?.step !== step) continue;
      const indent = '  '.repeat(event.depth);
      lines.push(`${step} ${event.at.toFixed(3)} ${indent}${event.who}`);
    }
    for (let slot = 0; slot < this.board.connectionSlots; slot++) {
      lines.push(`slot ${slot}: ${this.inspector.describe(slot)}`);
    }
    for (const { slot, state, thread } of this.supervisor.children.values()) {
      const ready = thread.isReady ? 'has something to do' : 'sleeps';
      const told = `status ${this.board.child(slot, CHILD.status)}`;
      lines.push(`${thread.name}: ${state}, ${told}, ${thread.dead ? 'dead' : ready}`);
    }
    for (const client of this.#clients) lines.push(client.describe());
    return [...lines, ...this.#said.slice(-10)].join('\n');
  }
}

function workerOptions(options: WorldOptions): WorkerOptions {
  return {
    limitRequestLine: 8_190,
    limitRequestFieldSize: 8_190,
    limitRequestFields: 100,
    limitRequestBody: 0,
    limitSpilledKb: options.limitSpilledKb,
    spill: null,
    keepAlive: true,
    maxKeepAliveRequests: options.maxKeepAliveRequests,
    requestDeadlineMs: options.requestDeadlineMs,
    server: '',
    directPolling: options.directPolling,
    looksBeforeSleep: options.looksBeforeSleep,
    longHandlerNice: 0,
    indexes: false,
    sendFileRoot: null,
    maxOpenFiles: 4,
    accessLog: null,
    trustProxy: null,
    proxyProtocol: [],
    timeoutMs: options.listener.timeoutMs,
    gracefulShutdownTimeoutMs: 0,
    status: null,
  };
}
