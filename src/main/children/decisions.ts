/**
 * Why children were started and let go, where everybody can read it.
 *
 * Role: the words of the header that tell of the last spawn and the last cull, and their counters.
 * Thread: main.
 */
import { nowTicks } from '../../scoreboard/clock.ts';
import type { CullReason, SpawnReason } from '../../scoreboard/codes.ts';
import { HEADER } from '../../scoreboard/layout.ts';
import type { Scoreboard } from '../../scoreboard/scoreboard.ts';

export function noteSpawn(board: Scoreboard, reason: SpawnReason): void {
  board.setHeader(HEADER.lastSpawnTicks.offset, nowTicks());
  board.setHeader(HEADER.lastSpawnReason.offset, reason);
  board.count(HEADER.spawns, 1, reason);
  board.count(HEADER.childStarts);
}

export function noteCull(board: Scoreboard, reason: CullReason): void {
  board.setHeader(HEADER.lastCullTicks.offset, nowTicks());
  board.setHeader(HEADER.lastCullReason.offset, reason);
  board.count(HEADER.culls, 1, reason);
}
