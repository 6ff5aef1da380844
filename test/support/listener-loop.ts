/**
 * The listener of a model: production `Listener` with its `Standby`, `Dispatcher` and `Closer`, turned by a
 * libuv loop that has two watches and two timers.
 *
 * Role: stands in for the poller, the native part and the timers, which fire whenever they are armed; is
 * also what main does to it when a child is to retire or has died.
 * Thread: tests only.
 */
import type { Native } from '../../src/listener/native.ts';
import type { ListenerOptions } from '../../src/listener/options.ts';
import type { Poller } from '../../src/listener/poller.ts';
import { ChildCommand } from '../../src/scoreboard/codes.ts';
import { CHILD, HEADER } from '../../src/scoreboard/layout.ts';
import { type ModelThread, prepare } from './explorer.ts';
import { type Kept, KeptState } from './kept-state.ts';
import { BITS, type ModelBoard } from './model-board.ts';
import type { OpenCode } from './production-code.ts';

const TOKEN_HANDBACK = -1;

export interface ListenerLoopLocal {
  readonly kept: Kept;
}

export interface ListenerLoopOptions {
  /** This child is told to retire at some moment, -1: none. */
  readonly retires?: number;
  /** Children that may die. */
  readonly mortal?: readonly number[];
}

/** Private parts that the driver touches; see `opened`. */
interface Opened {
  _standby: { _timer: object; _sleepingTimer: object; _ticking: boolean; _tick(): void };
  _dispatcher: { _recheck: object; _recheckArmed: boolean; _armedTail: number; _onRecheck(): void };
  _sweeper: { _timer: object };
  _slots: { _watermark: number };
  _closer: object;
  _acceptor: object;
  _router: object;
  _onRequests(): void;
  _onTickets(count: number): void;
  _heartbeat(): void;
}

class Timer {
  armed = false;

  refresh(): this {
    this.armed = true;
    return this;
  }
}

export function listenerLoop(
  model: ModelBoard,
  code: OpenCode,
  { retires = -1, mortal = [] }: ListenerLoopOptions = {},
): ModelThread<ListenerLoopLocal> {
  const { board } = model;
  const poller = new ModelPoller(model);
  const native = {
    eventfdCreate: () => board.header(HEADER.handbackFd.offset),
    eventfdSignal: (fd: number) => model.signal(fd),
    eventfdDrain: (fd: number) => model.drain(model.eventfdName(fd)),
    attach: () => {},
    close: (slot: number) => model.closeDescriptor(slot),
  } as unknown as Native;
  const options = { queueLimit: board.connectionSlots * 2 } as ListenerOptions;
  const listener = prepare(
    () => new code.listener.Listener(board, native, poller as unknown as Poller, options),
  );
  const open = listener as unknown as Opened;
  const [tick, recheck] = [new Timer(), new Timer()];
  open._standby._timer = tick;
  open._standby._sleepingTimer = tick;
  open._dispatcher._recheck = recheck;
  // Twice a second is never, for what must not wait for it.
  open._sweeper._timer = {};
  open._slots._watermark = board.connectionSlots;
  const own = { retires, dead: [] as number[] };
  const state = new KeptState({
    own,
    tick,
    recheck,
    poller,
    listener,
    standby: open._standby,
    dispatcher: open._dispatcher,
    closer: open._closer,
    slots: open._slots,
    acceptor: open._acceptor,
    router: open._router,
  });

  /** Whatever may be called next, with the words that make it so; a timer may fire whenever it is armed. */
  interface Possible {
    readonly words: readonly string[];
    readonly call: () => void;
  }
  const events = (): Possible[] => {
    const possible: Possible[] = [
      {
        words: ['handbackFd'],
        call: () => {
          poller.batch.set([TOKEN_HANDBACK, 0, 0]);
          open._onTickets(1);
          open._heartbeat();
        },
      },
    ];
    const add = (words: readonly string[], call: () => void) => possible.push({ words, call });
    if (poller.watching) add(model.edges, () => open._onRequests());
    const fire = (timer: Timer, call: () => void) => () => {
      timer.armed = false;
      call();
    };
    if (tick.armed) {
      add(
        [],
        fire(tick, () => open._standby._tick()),
      );
    }
    if (recheck.armed) {
      add(
        [],
        fire(recheck, () => open._dispatcher._onRecheck()),
      );
    }
    if (own.retires >= 0) {
      add([], () => {
        board.setChild(own.retires, CHILD.command, ChildCommand.retire);
        listener.wakeChild(own.retires);
        own.retires = -1;
      });
    }
    for (const child of mortal) {
      if (own.dead.includes(child)) continue;
      add([`dead${child}`], () => {
        own.dead.push(child);
        // As `Children` does it.
        board.idle.remove(child);
        listener.reclaimChild(child);
      });
    }
    return possible;
  };
  const turn = ({ kept }: ListenerLoopLocal): ListenerLoopLocal => {
    state.load(kept);
    const possible = events();
    const next = model.sleepUntilAny(possible.map(({ words }) => words));
    (possible[next] as Possible).call();
    forget(open);
    return { kept: state.save() };
  };
  return { name: 'listener', start: { kept: state.save() }, turn };
}

/** What is written before it is read again, so that it does not tell states apart. */
function forget({ _standby: standby, _dispatcher: dispatcher }: Opened): void {
  if (!standby._ticking) {
    Object.assign(standby, { _leader: -1, _progress: 0, _tail: 0, _quietTicks: 0, _stuckTicks: 0 });
  }
  if (!dispatcher._recheckArmed) dispatcher._armedTail = 0;
}

/** Whether the listener, asleep, would be called for an event of the request set. */
export const listenerWatchesSet = (local: unknown): boolean =>
  ((local as ListenerLoopLocal).kept.poller as { watching: boolean }).watching;

class ModelPoller {
  readonly hangup = BITS.hangup;
  readonly endOfStream = BITS.endOfStream;
  readonly requestSet = 0;
  readonly listenerSet = 0;
  readonly batch: Int32Array;
  readonly #model: ModelBoard;
  watching = true;

  constructor(model: ModelBoard) {
    this.#model = model;
    this.batch = new Int32Array(3 * Math.max(1, model.slots * 2));
  }

  pollRequests(): number {
    const tickets = this.#model.poll();
    this.batch.set(tickets.flat());
    return tickets.length;
  }

  tellAgain(_fd: number, slot: number): number {
    this.#model.tellAgain(slot);
    return 0;
  }

  requestsReady(): boolean {
    return this.#model.edges.some((edge) => this.#model.isSignalled(edge));
  }

  pauseRequests(): void {
    this.watching = false;
  }

  resumeRequests(): void {
    this.watching = true;
  }
}
