// What `?json` promises.
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { jsonSchema, statusSchema } from '../../../src/main/admin/schema.ts';
import { ChildStatus } from '../../../src/scoreboard/codes.ts';
import { CHILD } from '../../../src/scoreboard/layout.ts';
import { connect, documentOf, emptyBoard, LIMITS } from '../../support/status-view.ts';

describe('the status document', () => {
  const board = emptyBoard();
  for (const slot of [0, 1]) connect(board, slot);
  board.setChild(2, CHILD.life, 7);
  board.setChild(2, CHILD.status, ChildStatus.ready);

  it('follows the schema, with nothing that it does not name', () => {
    for (const document of [
      documentOf(emptyBoard()),
      documentOf(board, 'connection=1'),
      documentOf(board, '', { limits: { ...LIMITS, maxConnectionsPerChild: 5 } }),
      documentOf(board, '', { limits: { ...LIMITS, extendedStatus: false } }),
    ]) {
      const sent: unknown = JSON.parse(JSON.stringify(document));
      expect(statusSchema.parse(sent)).toEqual(sent);
    }
  });

  it('is refused where a member is missing or wrong', () => {
    const { queue, ...rest } = documentOf(board);
    expect(statusSchema.safeParse(rest).success).toBe(false);
    expect(statusSchema.safeParse({ ...rest, queue: { ...queue, length: -1 } }).success).toBe(
      false,
    );
  });

  it('is described by the published schema', () => {
    const published = new URL('../../../docs/server-status.schema.json', import.meta.url);
    expect(
      JSON.parse(readFileSync(published, 'utf8')),
      'node dist/main/admin/print-schema.js > docs/server-status.schema.json',
    ).toEqual(JSON.parse(JSON.stringify(jsonSchema())));
  });
});
