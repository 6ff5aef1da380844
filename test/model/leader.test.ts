// The lead: somebody always polls the request set. Production `Leading`, leader word and idle set.
import { describe, expect, it } from 'vitest';
import { leadingOf } from '../support/connection-drivers.ts';
import { choose, explore, type Model, type ModelThread, tellSize } from '../support/explorer.ts';
import { ModelBoard } from '../support/model-board.ts';
import { type Code, type Mutation, mutated, production } from '../support/production-code.ts';

interface Size {
  readonly workers: number;
  /** Events that come one after another. */
  readonly events: number;
  /** Times a worker may pass the lead on before a handler. */
  readonly passes?: number;
  /** Times the listener may take the lead back. */
  readonly takeBacks?: number;
  /** The last worker retires at some moment. */
  readonly retires?: boolean;
  readonly weak?: boolean;
}

interface Local {
  readonly at: 'loop' | 'lead' | 'pass' | 'drain' | 'idle' | 'sleep';
  readonly passes: number;
  readonly retires: boolean;
}

function leaderModel(code: Code, size: Size): Model {
  const { workers, events, passes = 0, takeBacks = 0, retires = false, weak = false } = size;
  const model = new ModelBoard(code, { slots: 1, children: workers });
  const { board } = model;
  const { leader, wake } = code;
  const edge = model.own('edge0');
  /** True where there was something; what becomes of it is another model's. */
  const poll = () => Atomics.exchange(model.words, edge, 0) !== 0;

  const worker = (child: number): ModelThread<Local> => ({
    name: `worker ${child}`,
    start: { at: 'loop', passes, retires: retires && child === workers - 1 },
    turn: (local) => {
      switch (local.at) {
        case 'loop':
          board.idle.remove(child);
          if (local.retires && choose(2) === 1) {
            const leading = leadingOf(model, child);
            leading.sync();
            leading.pass();
            return null;
          }
          return { ...local, at: 'lead' };
        case 'lead':
          if (!leadingOf(model, child).take() || !poll()) return { ...local, at: 'drain' };
          return { ...local, at: local.passes > 0 && choose(2) === 1 ? 'pass' : 'loop' };
        case 'pass': {
          // Before a long handler: somebody else is to poll.
          const leading = leadingOf(model, child);
          leading.sync();
          leading.pass();
          return { ...local, at: 'loop', passes: local.passes - 1 };
        }
        case 'drain':
          model.drain(`wakeFd${child}`);
          return { ...local, at: 'idle' };
        case 'idle':
          return { ...local, at: wake.goIdle(board, child) ? 'sleep' : 'loop' };
        case 'sleep': {
          const watching = leadingOf(model, child).sync();
          model.sleep(`wakeFd${child}`, ...(watching ? model.edges : []));
          return { ...local, at: 'loop' };
        }
      }
    },
  });
  const listener: ModelThread<number> = {
    name: 'listener',
    start: takeBacks,
    turn: (left) => {
      const leads = leader.leaderOf(board) < 0;
      if (!leads && left > 0 && choose(2) === 1) {
        leader.moveLead(board, leader.leaderOf(board), model.signal);
        return left - 1;
      }
      model.sleep('handbackFd', ...(leads ? model.edges : []));
      model.drain('handbackFd');
      if (leads && poll()) wake.wakeLowestIdle(board, model.signal);
      return left;
    },
  };
  const network: ModelThread<number> = {
    name: 'network',
    start: 0,
    turn: (sent) => {
      Atomics.store(model.words, edge, 1);
      return sent + 1 === events ? null : sent + 1;
    },
  };
  return {
    memory: model.memory,
    weak,
    threads: [listener, network, ...Array.from({ length: workers }, (_, child) => worker(child))],
    final: ({ memory }) =>
      memory[edge] === 0 ? undefined : 'an event waits and nobody polls the request set',
  };
}

const leaderFile = (text: string, becomes: string): Mutation => ({
  file: 'scoreboard/leader',
  text,
  becomes,
});

describe('whoever leads, somebody polls the request set', () => {
  it.each<[string, Size]>([
    ['one worker', { workers: 1, events: 2, passes: 1 }],
    ['one worker, taken back', { workers: 1, events: 2, takeBacks: 1 }],
    ['one worker that retires', { workers: 1, events: 2, retires: true }],
    ['two workers', { workers: 2, events: 1, passes: 1 }],
    ['two workers, taken back', { workers: 2, events: 1, takeBacks: 1 }],
    ['two workers of which one retires', { workers: 2, events: 1, retires: true }],
    ['one worker, delayed stores', { workers: 1, events: 2, passes: 1, takeBacks: 1, weak: true }],
    ['two workers, delayed stores', { workers: 2, events: 1, takeBacks: 1, weak: true }],
  ])('%s', (name, size) => {
    const report = explore(leaderModel(production, size));
    expect(report.violation).toBeNull();
    tellSize(`lead, ${name}`, report);
  });

  it.each<[string, Size, Mutation]>([
    [
      'an heir is not woken',
      { workers: 2, events: 1, takeBacks: 1 },
      leaderFile('if (heir >= 0) signal(', 'if (heir >= 99) signal('),
    ],
    [
      'the listener is not told that it leads',
      { workers: 1, events: 1, retires: true },
      leaderFile('else if (moved) signal(board.header(HEADER.handbackFd.offset));', ''),
    ],
    [
      'the lead is given up to nobody',
      { workers: 1, events: 2, passes: 1 },
      leaderFile('heir < 0 ? LISTENER_LEADS : heir + 1', 'heir < 0 ? 99 : heir + 1'),
    ],
    [
      'a worker reads plainly whether it leads',
      { workers: 2, events: 1, takeBacks: 1, weak: true },
      leaderFile('Atomics.load(board.words, WORD) - 1', '(board.words[WORD] as number) - 1'),
    ],
  ])('and would be caught where %s', async (_, size, mutation) => {
    const { violation } = explore(leaderModel(await mutated(mutation), size));
    expect(violation?.message).toBe('an event waits and nobody polls the request set');
  });
});
