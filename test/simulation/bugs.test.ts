/**
 * The simulation finds what is wrong: a copy of the production code with one bug put in on purpose.
 */
import { expect, it } from 'vitest';
import { type Mutation, withCopy } from '../support/production-code.ts';
import { NO_FAULTS, type WorldOptions } from './options.ts';
import { loadProduction } from './production.ts';
import { simulate } from './simulate.ts';

const STEPS = 9_000;
/** Many times what each needs, so that another schedule finds it as well. */
const SEEDS = 60;

interface Bug {
  readonly name: string;
  readonly mutations: readonly Mutation[];
  readonly found: RegExp;
  /** A world in which it does not take long. */
  readonly given?: Partial<WorldOptions>;
}

const bugs: readonly Bug[] = [
  {
    name: 'a lost wake-up: the listener is called before there is something for it',
    mutations: [
      {
        file: 'scoreboard/wake',
        text: `  if (!board.handback.push(slot)) throw new Error('handback ring is full');
  callListener(board, signal);`,
        becomes: `  callListener(board, signal);
  if (!board.handback.push(slot)) throw new Error('handback ring is full');`,
      },
    ],
    found: /^everybody sleeps .* (waits to be closed|has an end or bytes that nobody sees)/,
  },
  {
    name: 'a double close: at once, and again at the end of the batch',
    mutations: [
      {
        file: 'listener/closer',
        text: '    this.#closing.push(slot);',
        becomes: `    this.#native.close(this.#board.slot(slot, SLOT.fd));
    this.#closing.push(slot);`,
      },
    ],
    found: /^listener closes descriptor \d+, which is not open/,
  },
  {
    name: 'a stale ticket accepted: an event is not asked for its incarnation',
    mutations: [
      {
        file: 'listener/event-router',
        text: '      if (incarnationOf(word) !== incarnation) return Routed.stale;\n',
        becomes: '',
      },
    ],
    found: /^an event of an earlier connection did something/,
    given: {
      workers: 2,
      connectionSlots: 1,
      clients: 8,
      late: 0,
      directPolling: true,
      pauses: 0.05,
      stepMs: 0.2,
      operationGap: 15,
      preemptions: 3,
      faultless: 0,
      hasty: true,
      slowThread: -1,
      maxConnectionsPerChild: 0,
      faults: NO_FAULTS,
    },
  },
  {
    name: 'a standstill: a worker believes that it is signalled still, and nothing looks after it',
    mutations: [
      {
        file: 'workers/serving-loop',
        text: '    this.#calls = 0;\n    this.#context.wakeSelf();',
        becomes: '    this.#calls = 0;\n    if (!this.#signalled) this.#context.wakeSelf();',
      },
      { file: 'listener/listener', text: '        sleepers.look();\n', becomes: '' },
      // No bug: a worker comes to its bound more often than with 4.
      { file: 'workers/serving-loop', text: 'CALLS_PER_TURN = 4', becomes: 'CALLS_PER_TURN = 1' },
    ],
    found: /sleeps and is not among the idle/,
    given: {
      workers: 1,
      connectionSlots: 256,
      clients: 160,
      late: 0.3,
      directPolling: true,
      looksBeforeSleep: 0,
      pauses: 0.05,
      stepMs: 0.2,
      operationGap: 20,
      preemptions: 3,
      faultless: 1,
      slowThread: 1,
      maxConnectionsPerChild: 0,
      bufferBytes: 16_384,
      requestDeadlineMs: 0,
      maxKeepAliveRequests: 0,
      faults: NO_FAULTS,
    },
  },
];

it.each(bugs)('$name', async ({ name, mutations, found, given }) => {
  const code = await withCopy(
    mutations,
    (text) => text,
    (load) => loadProduction(load),
  );
  let steps = 0;
  for (let seed = 1; seed <= SEEDS; seed++) {
    const outcome = simulate(code, seed, STEPS, given);
    steps += outcome.steps;
    if (outcome.violation === null) continue;
    expect(outcome.violation).toMatch(found);
    console.log(`${name}: found by seed ${seed}, after ${steps} steps`);
    return;
  }
  expect.fail(`not found in ${steps} steps`);
}, 60_000);
