/**
 * A worker of a model: production `ServingLoop` and `Leading`, turned by a libuv loop that has two watches.
 *
 * A round of that loop is as in libuv's uv__io_poll: it asks the kernel once for what is ready and then calls
 * back for each of it, whatever the call before did to the other descriptor. Pausing, resuming or ending a watch
 * takes it out of the round (uv__platform_invalidate_fd).
 *
 * Role: stands in for what is around the loop: the native part, the context, and `Connection`, of which only
 * the hold on the slot is left (one receive, one handler for each byte, one release).
 * Thread: tests only.
 */
import { type Native, Region, WatchAnswer } from '../../src/listener/native.ts';
import { CHILD, SLOT } from '../../src/scoreboard/layout.ts';
import { ConnectionEvent } from '../../src/scoreboard/states.ts';
import type { WorkerContext } from '../../src/workers/context.ts';
import type { ServingLoop } from '../../src/workers/serving-loop.ts';
import { choose, type ModelThread, prepare } from './explorer.ts';
import { type Kept, KeptState } from './kept-state.ts';
import { BITS, type ModelBoard } from './model-board.ts';
import type { OpenCode } from './production-code.ts';

/** Numbers of the watches, in the order in which they are made. */
const SET_WATCH = 0;
const EVENTFD_WATCH = 1;

export interface ServingLocal {
  readonly at: 'wait' | 'round' | 'again';
  /** In `again`: what the callback is called with. */
  readonly watch: number;
  readonly count: number;
  readonly kept: Kept;
}

export interface ServingOptions {
  /** How many of its handlers may be known to be long. */
  readonly longHandlers?: number;
  readonly mortal?: boolean;
  /** It has had its first turn. */
  readonly asleep?: boolean;
  /**
   * It has come to its bound of claims in a turn for its eventfd, and is now in a round that found both ready:
   * the call for the request set is over and has emptied the eventfd, whose call is still to come. Two requests
   * were served meanwhile.
   */
  readonly inRound?: boolean;
}

/** Private parts that the driver touches; see `opened`. */
interface Opened {
  _leading: object;
  _protocols: readonly { take(): unknown }[];
  _routes: object;
}

export function servingWorker(
  model: ModelBoard,
  code: OpenCode,
  child: number,
  { longHandlers = 0, mortal = false, asleep = false, inRound = false }: ServingOptions = {},
): ModelThread<ServingLocal> {
  const { board } = model;
  const kernel = new WorkerKernel(model);
  const own = { longHandlers, retired: false };
  const context = Object.assign(Object.create(code.context.WorkerContext.prototype), {
    board,
    native: kernel as unknown as Native,
    child,
    now: 0,
    childIndex: board.childIndex(child),
    options: {
      directPolling: true,
      looksBeforeSleep: 0,
      longHandlerNice: 0,
      requestDeadlineMs: 0,
    },
    heads: { tick: () => {} },
    sessions: [],
    buffers: { release: () => {} },
    // Counters decide nothing.
    add: () => {},
  }) as WorkerContext;
  const isReady = (word: string) => model.isSignalled(word);
  const ended = () => {
    kernel.unwatch(EVENTFD_WATCH);
    own.retired = true;
  };
  const loop = prepare(
    () => new code.servingLoop.ServingLoop(context, { wantsRetire: () => {}, ended }),
  );
  kernel.watch(EVENTFD_WATCH, 0, () => loop.onSignal());
  const open = loop as unknown as Opened;
  open._routes = {
    routeOf: () => {
      if (own.longHandlers === 0 || choose(2) === 0) return SHORT_ROUTE;
      own.longHandlers--;
      return LONG_ROUTE;
    },
    isLong: (route: number) => route === LONG_ROUTE,
    record: () => {},
  };
  const connection = servedConnection(model, code, context, loop);
  const state = new KeptState({ own, kernel, loop, leading: open._leading });

  const call = (watch: number, count: number): ServingLocal | null => {
    const answer = (kernel.callbacks[watch] as (count: number) => number)(count);
    if (own.retired) return null;
    const again = answer === WatchAnswer.again && kernel.active[watch] !== GONE;
    return next(again ? 'again' : 'round', watch, count);
  };
  const next = (at: ServingLocal['at'], watch = 0, count = 0): ServingLocal => {
    const over = at === 'round' && kernel.round.length === 0;
    return { at: over ? 'wait' : at, watch, count, kept: state.save() };
  };
  const turn = (local: ServingLocal): ServingLocal | null => {
    state.load(local.kept);
    open._protocols = [{ take: () => connection }];
    kernel.fillBatch();
    if (local.at === 'again') return call(local.watch, local.count);
    if (local.at === 'wait') {
      const watches = [EVENTFD_WATCH, SET_WATCH].filter(
        (watch) => kernel.active[watch] === WATCHED,
      );
      const words = (watch: number) =>
        watch === EVENTFD_WATCH
          ? [model.eventfdName(board.child(child, CHILD.wakeFd))]
          : model.edges;
      // The kernel's list of what is ready has any order.
      const first = watches[model.sleepUntilAny(watches.map(words))] as number;
      const others = watches.filter((watch) => watch !== first && words(watch).some(isReady));
      kernel.round.splice(0, kernel.round.length, first, ...others);
      return next('round');
    }
    const watch = kernel.round.shift() as number;
    if (watch === EVENTFD_WATCH) return call(watch, 0);
    const count = kernel.epollWait();
    // As in watch.c: nothing is there any more.
    return count === 0 ? next('round') : call(watch, count);
  };
  open._protocols = [{ take: () => connection }];
  if (asleep) prepare(() => loop.onSignal());
  if (inRound) {
    prepare(() => {
      const eventfd = model.eventfdName(board.child(child, CHILD.wakeFd));
      const serve = (call: () => void) => {
        model.send(0);
        call();
      };
      model.drain(eventfd);
      model.signal(board.child(child, CHILD.wakeFd));
      serve(() => loop.onSignal());
      if (!isReady(eventfd)) throw new Error('it has not stopped early');
      kernel.round.push(EVENTFD_WATCH);
      serve(() => kernel.callbacks[SET_WATCH]?.(kernel.epollWait()));
      if (isReady(eventfd)) throw new Error('it has not gone idle');
    });
  }
  const start = next(inRound ? 'round' : 'wait');
  const thread = { name: `worker ${child}`, start, turn };
  return mortal ? { ...thread, diesInto: model.own(`dead${child}`) } : thread;
}

const SHORT_ROUTE = 0;
const LONG_ROUTE = 1;

const PAUSED = 0;
const WATCHED = 1;
const GONE = 2;

/** Whether this worker, asleep, would be called for an event of the request set. */
export const watchesSet = (local: unknown): boolean =>
  ((local as ServingLocal).kept.kernel as { active: number[] }).active[SET_WATCH] === WATCHED;

/** `addon.c` as one worker sees it. */
class WorkerKernel {
  readonly epollIn = BITS.readable;
  readonly epollOut = BITS.writable;
  readonly epollHup = BITS.hangup;
  readonly epollErr = BITS.hangup;
  readonly epollRdHup = BITS.endOfStream;
  readonly #model: ModelBoard;
  readonly callbacks: ((count: number) => number)[] = [];
  readonly active: number[] = [];
  #batch: Int32Array = new Int32Array(0);
  /** What the last poll left in the batch. */
  readonly tickets: number[] = [];
  /** Watches that this round has still to call back for. */
  readonly round: number[] = [];

  constructor(model: ModelBoard) {
    this.#model = model;
  }

  setSlice(): number {
    return 0;
  }

  nice(): number {
    return 20;
  }

  attach(region: number, bytes: Uint8Array): void {
    if (region === Region.batch) this.#batch = new Int32Array(bytes.buffer);
  }

  watch(_fd: number, _readsBatch: number, callback: (count: number) => number): number {
    this.active.push(WATCHED);
    return this.callbacks.push(callback) - 1;
  }

  pause(watch: number): number {
    return this.#set(watch, PAUSED);
  }

  resume(watch: number): number {
    return this.#set(watch, WATCHED);
  }

  unwatch(watch: number): number {
    return this.#set(watch, GONE);
  }

  #set(watch: number, active: number): number {
    this.active[watch] = active;
    const at = this.round.indexOf(watch);
    if (at >= 0) this.round.splice(at, 1);
    return 0;
  }

  epollWait(): number {
    const tickets = this.#model.poll();
    // Entries beyond keep what an earlier batch left in them.
    for (const [at, value] of tickets.flat().entries()) this.tickets[at] = value;
    this.fillBatch();
    return tickets.length;
  }

  fillBatch(): void {
    this.#batch.set(this.tickets);
  }

  eventfdSignal(fd: number): void {
    this.#model.signal(fd);
  }

  eventfdDrain(fd: number): void {
    this.#model.drain(this.#model.eventfdName(fd));
  }
}

/** What `Connection` does to the scoreboard and to its loop, without HTTP. */
function servedConnection(
  model: ModelBoard,
  code: OpenCode,
  context: WorkerContext,
  loop: ServingLoop,
): object {
  const { board, child } = context;
  const hold = new code.ownership.Ownership(board, {} as Native, child);
  return {
    open(slot: number, word: number): void {
      hold.take(slot, word);
      const route = loop.routeOf('GET', '/');
      const heir = loop.heirFor(route);
      if (heir >= 0) {
        // As in Tenure.delegate.
        while (!hold.release(ConnectionEvent.requeue, 0)) hold.attend();
        loop.delegate(heir, slot);
        return;
      }
      for (;;) {
        const count = model.receive(slot);
        for (let byte = 0; byte < count; byte++) {
          context.setWord(CHILD.currentSlot, slot + 1);
          loop.beforeHandler(route);
          hold.setField(SLOT.requests, hold.field(SLOT.requests) + 1);
          loop.afterHandler(route, 0);
          context.setWord(CHILD.currentSlot, 0);
        }
        const { responseSent, nothingRead } = ConnectionEvent;
        if (hold.release(hold.field(SLOT.requests) > 0 ? responseSent : nothingRead, 0)) return;
        hold.attend();
      }
    },
  };
}
