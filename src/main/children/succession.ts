/**
 * Which children are to get a successor now.
 *
 * Role: those that have reached a limit of their life first, then those of an older generation, the
 * lowest slots first; never more at a time than may wait for a successor together.
 * Thread: main; a pure function.
 */
import { SpawnReason } from '../../scoreboard/codes.ts';
import { type Child, counts } from './child.ts';
import { replaceableAtOnce } from './recycling.ts';

export interface Succession {
  readonly child: Child;
  readonly reason: SpawnReason;
}

/**
 * @param wantsRetire it has reached a limit, or somebody asked for it
 * @param generation the one that all should be of; 0: any will do
 */
export function dueForSuccession(
  children: Iterable<Child>,
  wantsRetire: (child: Child) => boolean,
  generation: number,
): Succession[] {
  const all = [...children];
  const waiting = all.filter(({ state }) => state === 'awaiting-successor').length;
  // Those that wait are counted by their successors.
  let room = replaceableAtOnce(all.filter(counts).length) - waiting;
  const due: Succession[] = [];
  const ready = all
    .filter(({ state }) => state === 'ready')
    .sort((one, other) => one.slot - other.slot);
  const take = (child: Child, reason: SpawnReason) => {
    if (room-- > 0) due.push({ child, reason });
  };
  for (const child of ready) if (wantsRetire(child)) take(child, SpawnReason.replacement);
  for (const child of ready) {
    if (!wantsRetire(child) && child.generation < generation) take(child, SpawnReason.restart);
  }
  return due;
}
