/** A small server in memory, as the status page sees it. */

import {
  connectionGrid,
  oneConnection,
  selectConnections,
} from '../../src/main/admin/connections.ts';
import type { AdminLimits, Moment } from '../../src/main/admin/document.ts';
import { statusDocument } from '../../src/main/admin/document.ts';
import { History } from '../../src/main/admin/history.ts';
import { parseQuery } from '../../src/main/admin/query.ts';
import type { StatusDocument } from '../../src/main/admin/schema.ts';
import { GRID_CONNECTIONS } from '../../src/main/admin/status-source.ts';
import { Phase } from '../../src/scoreboard/codes.ts';
import { HEADER, SLOT } from '../../src/scoreboard/layout.ts';
import { Scoreboard } from '../../src/scoreboard/scoreboard.ts';
import { takeSnapshot } from '../../src/scoreboard/snapshot.ts';
import { ConnectionEvent } from '../../src/scoreboard/states.ts';
import type { StatusFigures } from '../../src/scoreboard/status-auto.ts';

export const LIMITS: AdminLimits = {
  startServers: 1,
  minSpareThreads: 1,
  maxSpareThreads: 3,
  maxRequestWorkers: 4,
  queueLimit: 64,
  maxConnectionsPerChild: 0,
  keepAliveTimeoutMs: 65_000,
  extendedStatus: true,
};

export const FIGURES: StatusFigures = {
  serverName: 'web-1',
  version: '0.1.0',
  nodeVersion: '20.0.0',
  platform: 'Linux',
  builtAt: new Date(0),
  now: new Date(0),
  uptimeMs: 1000,
  loadAverages: [0, 0, 0],
  cpuUserSeconds: 1,
  cpuSystemSeconds: 1,
};

/** A board of four workers' slots and connection slots, none of them in use. */
export function emptyBoard(connectionSlots = 64): Scoreboard {
  const board = Scoreboard.create(
    { connectionSlots, childSlots: 4, bufferBytes: 4096 },
    false,
    true,
  );
  board.setHeader(HEADER.phase.offset, Phase.running);
  return board;
}

/** Opens a connection from `10.0.0.<slot>`, port 4000 + slot. */
export function connect(board: Scoreboard, slot: number): void {
  board.setHeader(
    HEADER.slotWatermark.offset,
    Math.max(slot + 1, board.header(HEADER.slotWatermark.offset)),
  );
  board.move(slot, board.word(slot), ConnectionEvent.accept);
  board.setSlot(slot, SLOT.peerFamily, 2);
  board.setSlot(slot, SLOT.peerPort, 4000 + slot);
  board.bytes.set([10, 0, 0, slot], board.slotIndex(slot) * 4 + SLOT.peerAddress.offset);
}

export const queryOf = (text: string) => parseQuery(new URLSearchParams(text));

/** What the page shows of a board. */
export function documentOf(
  board: Scoreboard,
  text = '',
  changes: Partial<Moment> = {},
): StatusDocument {
  const query = queryOf(text);
  const moment: Moment = {
    snapshot: takeSnapshot(board),
    grid: connectionGrid(board, GRID_CONNECTIONS),
    figures: FIGURES,
    history: new History(),
    nowMs: 5_000,
    limits: LIMITS,
    pid: 42,
    ...changes,
  };
  const shown = moment.limits.extendedStatus;
  return statusDocument(moment, query, {
    selection: shown ? selectConnections(board, query) : null,
    asked:
      shown && query.connection !== null
        ? oneConnection(board, query.connection, query.showQueries)
        : null,
  });
}
