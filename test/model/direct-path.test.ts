// The direct path: a free worker polls for itself, the listener stands by. Production `ServingLoop`, `Leading`,
// `Listener`, `Standby` and `Dispatcher`, with everything that may happen to the lead.
import { describe, expect, it } from 'vitest';
import { CHILD, HEADER } from '../../src/scoreboard/layout.ts';
import { ConnectionEvent } from '../../src/scoreboard/states.ts';
import { ownerOf } from '../../src/scoreboard/transition.ts';
import { client } from '../support/connection-drivers.ts';
import { explore, type Model, prepare, type State, sample, tellSize } from '../support/explorer.ts';
import { listenerLoop, listenerWatchesSet } from '../support/listener-loop.ts';
import { ModelBoard } from '../support/model-board.ts';
import { type Mutation, type OpenCode, opened } from '../support/production-code.ts';
import { servingWorker, watchesSet } from '../support/serving-worker.ts';

interface Size {
  readonly workers?: number;
  readonly connections?: number;
  /** Requests on each connection. */
  readonly requests?: number;
  /** Handlers known to be long that each worker may meet. */
  readonly longHandlers?: number;
  /** This child is told to retire at some moment. */
  readonly retires?: number;
  /** This child may die before any of its steps. */
  readonly dies?: number;
  /** Workers have not had their first turns. Otherwise the first leads and all sleep. */
  readonly starts?: boolean;
  /** The only worker is in a round whose first call has emptied its eventfd. */
  readonly inRound?: boolean;
}

const LISTENER = 0;
const threadOfChild = (child: number): number => child + 1;

function directPath(code: OpenCode, size: Size): Model {
  const { workers = 1, connections = 1, requests = 1, longHandlers = 0 } = size;
  const { retires = -1, dies = -1, starts = false, inRound = false } = size;
  const model = new ModelBoard(code, {
    slots: connections,
    children: workers,
    ring: 2 * connections,
    extra: Array.from({ length: workers }, (_, child) => `dead${child}`),
  });
  const { board } = model;
  prepare(() => {
    for (let slot = 0; slot < connections; slot++) {
      board.move(slot, board.word(slot), ConnectionEvent.accept);
      Atomics.store(model.words, model.own(`open${slot}`), 1);
      model.connected(slot, 0);
    }
    // The first turn of a child, which it asks for itself.
    for (let child = 0; child < workers && starts; child++) {
      model.signal(board.child(child, CHILD.wakeFd));
    }
  });
  const progress = Array.from(
    { length: workers },
    (_, child) => board.childIndex(child) + (CHILD.progress.offset >> 2),
  );
  const mortal = dies < 0 ? [] : [dies];
  const threads: Model['threads'][number][] = [listenerLoop(model, code, { retires, mortal })];
  for (let child = 0; child < workers; child++) {
    threads.push(
      servingWorker(model, code, child, {
        longHandlers,
        mortal: child === dies,
        asleep: !starts && !inRound,
        inRound,
      }),
    );
  }
  for (let slot = 0; slot < connections; slot++) {
    threads.push(client(model, slot, { bytes: requests, finishes: false }));
  }
  return {
    // The largest size that is gone through has some millions.
    maxStates: 12_000_000,
    memory: model.memory,
    threads,
    guards: model.guards(threadOfChild),
    observe: (step, poke) => {
      model.observe(step, poke);
      // Turns are counted modulo 2, or a worker that is woken again and again never comes back to a state it was
      // in. After two turns between two ticks the leader looks stuck: it may lose the lead at any time, so
      // that adds schedules. Those where it does not are found after one turn and after three.
      if (progress.includes(step.index) && step.after > 1) poke(step.index, step.after & 1);
    },
    final: (state) => {
      const gone = threads.slice(1, 1 + workers).every((_, child) => isGone(state, child));
      const left = dies >= 0 ? Left.byDeath : gone ? Left.forSuccessor : Left.nothing;
      return nothingWaits(model, state, left, connections * requests, inRound ? 2 : 0);
    },
  };
}

const isGone = ({ locals }: State, child: number): boolean => locals[threadOfChild(child)] === null;

/** What may be left: tickets for a child that is yet to start, or one that was taken out by one that died. */
const Left = { nothing: 0, forSuccessor: 1, byDeath: 2 } as const;
type Left = (typeof Left)[keyof typeof Left];

/** Where nobody moves everything was served, and the next event would find somebody. */
function nothingWaits(
  model: ModelBoard,
  state: State,
  left: Left,
  requests: number,
  /** Tickets that were put in before the model began. */
  before: number,
): string | undefined {
  const { memory, locals } = state;
  const { board } = model;
  for (let slot = 0; slot < model.slots; slot++) {
    if (memory[model.own(`edge${slot}`)] !== 0) return 'an event waits and nobody polls';
    const name = model.stateName(memory, slot);
    // The sweeper finds one that is queued beside an empty ring; it runs while there are connections.
    if (name === 'free' || (name === 'queued' && left !== Left.nothing)) continue;
    if (name !== 'keepalive' && name !== 'waitRequest') return `a connection stays in ${name}`;
    if (memory[model.own(`socket${slot}`)] !== 0) return 'a request is not read';
  }
  const anyAlive = Array.from({ length: model.children }).some((_, child) => !isGone(state, child));
  if (anyAlive && model.ringLength(memory, 'queue') !== 0) return 'a ticket waits in the queue';
  const served = memory[model.own('served')] as number;
  if (left === Left.nothing && served !== requests) return `${served} of ${requests} served`;
  const pushed = model.ringTail(memory, 'queue') - before;
  if (left !== Left.byDeath && pushed > requests) return 'more tickets than events';
  const leader = (memory[HEADER.leader.offset >> 2] as number) - 1;
  for (let child = 0; child < model.children; child++) {
    if (!isGone(state, child)) continue;
    if (leader === child) return 'one that is gone leads';
    for (let slot = 0; slot < model.slots; slot++) {
      const word = memory[board.slotIndex(slot)] as number;
      if (ownerOf(word) === child) return 'one that is gone owns a connection';
    }
    if (memory[board.childIndex(child) + (CHILD.inbox.offset >> 2)] !== 0) {
      return 'one that is gone has an inbox';
    }
    if (model.isIdle(memory, child)) return 'one that is gone counts as idle';
  }
  // A leader in its loop and the listener behind it, or the listener alone.
  if (!listenerWatchesSet(locals[LISTENER])) return 'the listener does not watch the request set';
  if (leader >= 0 && !watchesSet(locals[threadOfChild(leader)])) return 'the leader does not watch';
  return undefined;
}

/** Constants of production code made small: one claim in a call, few ticks. */
const SMALL: readonly Mutation[] = [
  { file: 'workers/serving-loop', text: 'CLAIMS_PER_CALL = 16', becomes: 'CLAIMS_PER_CALL = 1' },
  { file: 'workers/serving-loop', text: 'CALLS_PER_TURN = 4', becomes: 'CALLS_PER_TURN = 2' },
  { file: 'listener/standby', text: 'STUCK_TICKS = 5', becomes: 'STUCK_TICKS = 2' },
  { file: 'listener/standby', text: 'QUIET_TICKS = 16', becomes: 'QUIET_TICKS = 1' },
];

/** Small enough to go through all of it. */
const SIZES: readonly [string, Size][] = [
  ['one worker that starts', { starts: true }],
  ['one worker', {}],
  ['one worker with a long handler', { longHandlers: 1 }],
  ['one worker that retires', { retires: 0 }],
  ['one worker that dies', { dies: 0 }],
];

/** Too large for that: schedules at random. */
const SAMPLES: readonly [string, Size][] = [
  ['two workers, two connections', { workers: 2, connections: 2, requests: 2, starts: true }],
  ['long handlers', { workers: 2, connections: 2, requests: 2, longHandlers: 2 }],
  ['the first retires', { workers: 2, connections: 2, longHandlers: 1, retires: 0 }],
  ['the second retires', { workers: 2, connections: 2, longHandlers: 1, retires: 1 }],
  ['the first dies', { workers: 2, connections: 2, longHandlers: 1, dies: 0 }],
];
const WALKS = 3_000;
const SEED = 0x1d872b41;

describe('the direct path serves every request once and never forgets to poll', () => {
  it.each(SIZES)('%s', { timeout: 120_000 }, async (name, size) => {
    const report = explore(directPath(await opened(...SMALL), size), { compact: true });
    expect(report.violation).toBeNull();
    tellSize(`direct path, ${name}`, report);
  });

  it.each(SAMPLES)(`${WALKS} schedules, seed ${SEED}: %s`, { timeout: 60_000 }, async (_, size) => {
    const report = sample(directPath(await opened(...SMALL), size), WALKS, SEED);
    expect(report.violation).toBeNull();
  });
});

describe('and would be caught where', () => {
  const wake = 'scoreboard/wake';
  const leader = 'scoreboard/leader';
  const serving = 'workers/serving-loop';
  const leading = 'workers/leading';
  const standby = 'listener/standby';
  it.each<[string, Size, Mutation]>([
    [
      'a worker goes idle without the second look',
      { starts: true },
      {
        file: wake,
        text: 'if (takesNone && !hasWaiting(board, child) && !isRetiring(board, child))',
        becomes: '',
      },
    ],
    [
      'an heir is not signalled',
      { workers: 2, longHandlers: 1 },
      { file: leader, text: 'if (heir >= 0) signal(', becomes: 'if (heir >= 99) signal(' },
    ],
    [
      'one that retires keeps the lead',
      { retires: 0 },
      {
        file: leading,
        text: 'const passed = moveLead(this.#board, this.#child, this.#signal);',
        becomes: 'const passed = false;',
      },
    ],
    [
      'a worker does not look at the lead it was given',
      { workers: 2, longHandlers: 1 },
      {
        file: leading,
        text: 'if (leads !== this.#watching) this.#setWatching(leads);',
        becomes:
          'if (leads && !this.#watching) return leads;\n    if (leads !== this.#watching) this.#setWatching(leads);',
      },
    ],
    [
      'the listener rests while its watch is paused',
      {},
      {
        file: standby,
        text: 'this.#poller.resumeRequests();',
        becomes: '',
      },
    ],
    [
      'a tick is not followed by another',
      {},
      {
        file: standby,
        text: 'else this.#armNext(board.idle.has(this.#leader) ? SLEEPING_TICK_MS : TICK_MS);\n  }\n\n  /** Back',
        becomes: '}\n\n  /** Back',
      },
    ],
    [
      'a lead that a dead child had is not inherited',
      { dies: 0 },
      {
        file: 'listener/listener',
        text: 'if (inheritLead(board, child)) this.#standby.check();',
        becomes: '',
      },
    ],
    [
      'the events that a dead leader had taken are not told again',
      { dies: 0 },
      {
        file: 'listener/reclaimer',
        text: 'else if (crashed) this.#tellAgain(slot, word);',
        becomes: '',
      },
    ],
    [
      'the signal for a command is taken for nothing',
      { retires: 0 },
      {
        file: serving,
        text: `    if (this.#context.getWord(CHILD.status) !== ChildStatus.draining) return true;
    return hasWaiting(board, child) || !this.#isUnfinished;`,
        becomes: '    return hasWaiting(board, child);',
      },
    ],
    [
      'the same batch is routed in each call of a turn',
      { starts: true },
      {
        file: serving,
        text: 'return this.#turn(this.#calls === 0 ? count : 0);',
        becomes: 'return this.#turn(count);',
      },
    ],
  ])('%s', { timeout: 60_000 }, async (_, size, mutation) => {
    const code = await opened(...SMALL, mutation);
    const { violation } = explore(directPath(code, size), { compact: true });
    expect(violation).not.toBeNull();
  });
});

describe('a round of libuv calls for what was ready when it asked', () => {
  const serving = 'workers/serving-loop';
  /** One call a turn and two claims in it: two things to do are enough for a worker to stop early. */
  const hasty: readonly Mutation[] = [
    { file: serving, text: 'CLAIMS_PER_CALL = 16', becomes: 'CLAIMS_PER_CALL = 2' },
    { file: serving, text: 'CALLS_PER_TURN = 4', becomes: 'CALLS_PER_TURN = 1' },
    ...SMALL.filter(({ file }) => file !== serving),
  ];
  const size: Size = { inRound: true, requests: 2 };

  it(`and a worker that stops early is called again: ${WALKS} schedules, seed ${SEED}`, {
    timeout: 60_000,
  }, async () => {
    const report = sample(directPath(await opened(...hasty), size), WALKS, SEED);
    expect(report.violation).toBeNull();
  });

  it('and it would be caught where it relied on an eventfd that the call before has emptied', {
    timeout: 120_000,
  }, async () => {
    const mutation: Mutation = {
      file: serving,
      text: 'this.#calls = 0;\n    this.#context.wakeSelf();',
      becomes: 'this.#calls = 0;\n    if (!this.#signalled) this.#context.wakeSelf();',
    };
    const { violation } = sample(directPath(await opened(...hasty, mutation), size), WALKS, SEED);
    expect(violation?.message).toBe('a connection stays in queued');
  });
});
