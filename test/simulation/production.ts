/**
 * The production code that a simulation runs.
 *
 * Role: loads it while the clock stands at 0, see `atClockZero`; a copy with a bug put in on purpose is
 * loaded the same way.
 */
import type * as router from '../../src/listener/event-router.ts';
import type * as listener from '../../src/listener/listener.ts';
import type * as poller from '../../src/listener/poller.ts';
import type * as assignment from '../../src/scoreboard/assignment.ts';
import type * as clock from '../../src/scoreboard/clock.ts';
import type * as scoreboard from '../../src/scoreboard/scoreboard.ts';
import type * as context from '../../src/workers/context.ts';
import type * as servingLoop from '../../src/workers/serving-loop.ts';
import { atClockZero } from './host.ts';

export interface Production {
  readonly EventRouter: typeof router.EventRouter;
  readonly Routed: typeof router.Routed;
  readonly Listener: typeof listener.Listener;
  readonly EpollPoller: typeof poller.EpollPoller;
  readonly Scoreboard: typeof scoreboard.Scoreboard;
  readonly WorkerContext: typeof context.WorkerContext;
  readonly ServingLoop: typeof servingLoop.ServingLoop;
  readonly openAssignments: typeof assignment.openAssignments;
}

// biome-ignore lint/suspicious/noExplicitAny: a module has the type of whatever it stands in for
type Load = (name: string) => Promise<any>;

/** @param load a module of `src` by its path there, without its extension */
export function loadProduction(load: Load): Promise<Production> {
  return atClockZero(async () => {
    const { nowTicks }: typeof clock = await load('scoreboard/clock');
    if (nowTicks() !== 0) throw new Error('the clock was loaded before the simulation');
    const { EventRouter, Routed }: typeof router = await load('listener/event-router');
    return {
      EventRouter,
      Routed,
      Listener: (await load('listener/listener')).Listener,
      EpollPoller: (await load('listener/poller')).EpollPoller,
      Scoreboard: (await load('scoreboard/scoreboard')).Scoreboard,
      WorkerContext: (await load('workers/context')).WorkerContext,
      ServingLoop: (await load('workers/serving-loop')).ServingLoop,
      openAssignments: (await load('scoreboard/assignment')).openAssignments,
    };
  });
}
