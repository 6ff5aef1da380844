/** A small server in memory, as the status page sees it. */
import type { AdminLimits, Moment } from '../../src/main/admin/document.ts';
import { statusDocument } from '../../src/main/admin/document.ts';
import { History } from '../../src/main/admin/history.ts';
import { parseQuery } from '../../src/main/admin/query.ts';
import type { StatusDocument } from '../../src/main/admin/schema.ts';
import { HEADER, Phase, SLOT } from '../../src/scoreboard/layout.ts';
import { Scoreboard } from '../../src/scoreboard/scoreboard.ts';
import { connectionRows, takeSnapshot } from '../../src/scoreboard/snapshot.ts';
import { ConnectionEvent } from '../../src/scoreboard/states.ts';
import type { StatusFigures } from '../../src/scoreboard/status-auto.ts';
import { formatAddress } from '../../src/workers/peer-address.ts';

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

/** A board of four workers' slots and 64 connections, none of them open. */
export function emptyBoard(): Scoreboard {
  const board = Scoreboard.create({ connectionSlots: 64, childSlots: 4, bufferBytes: 4096 });
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

export function momentOf(board: Scoreboard, changes: Partial<Moment> = {}): Moment {
  return {
    snapshot: takeSnapshot(board),
    rows: connectionRows(board, board.connectionSlots),
    figures: FIGURES,
    history: new History(),
    nowMs: 5_000,
    limits: LIMITS,
    pid: 42,
    ...changes,
  };
}

export const queryOf = (text: string) => parseQuery(new URLSearchParams(text));

export const documentOf = (moment: Moment, query = ''): StatusDocument =>
  statusDocument(moment, queryOf(query), (peer) => formatAddress(peer, 0, 10));
