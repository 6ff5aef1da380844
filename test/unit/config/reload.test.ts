// What a running server takes over of a new configuration, and what it keeps.
import { describe, expect, it } from 'vitest';
import { resolveDirectives } from '../../../src/main/config/directives.ts';
import { changesBetween, EFFECTS, withOlder } from '../../../src/main/config/reload.ts';
import { NAMES } from '../../../src/main/config/table.ts';
import { TWO_CORES } from './helpers.ts';

const directives = (raw: Record<string, unknown>) => resolveDirectives(raw, 'test', TWO_CORES);
const changes = (before: Record<string, unknown>, after: Record<string, unknown>) =>
  changesBetween(directives(before), directives(after), directives(before).maxRequestWorkers);

describe('a reload', () => {
  it('decides about every directive', () => {
    expect(Object.keys(EFFECTS)).toEqual([...NAMES]);
  });

  it('of the same configuration changes nothing', () => {
    expect(changes({ timeout: 5 }, { timeout: '5s' })).toMatchObject({
      applied: [],
      restarted: [],
      kept: [],
    });
  });

  it('tells what is live, what needs new workers and what has to wait', () => {
    const { accepted, ...rest } = changes(
      {},
      { keepAliveTimeout: 1, serverTokens: 'full', listen: 9000, requestReadTimeout: 'header=5' },
    );
    expect(rest).toEqual({
      applied: ['keepAliveTimeout', 'requestReadTimeout'],
      restarted: ['serverTokens'],
      kept: ['listen'],
    });
    expect(accepted).toMatchObject({ keepAliveTimeoutMs: 1000, serverTokens: 'full' });
    expect(accepted.listen).toEqual([{ host: '::', port: 8080 }]);
  });

  it('raises maxRequestWorkers no further than there are slots', () => {
    const lower = changes({ maxRequestWorkers: 8 }, { maxRequestWorkers: 6 });
    expect(lower.applied).toContain('maxRequestWorkers');
    const higher = changes({ maxRequestWorkers: 8 }, { maxRequestWorkers: 9 });
    expect(higher.kept).toEqual(['maxRequestWorkers (there are slots for 8)']);
    expect(higher.accepted.maxRequestWorkers).toBe(8);
  });

  it('changes limits of the head only where the connection buffers stay as they are', () => {
    const within = changes({}, { limitRequestLine: 8000 });
    expect(within.restarted).toEqual(['limitRequestLine']);
    const beyond = changes({}, { limitRequestLine: '32k' });
    expect(beyond.kept).toEqual(['limitRequestLine (connection buffers would have another size)']);
    expect(beyond.accepted.connectionBufferBytes).toBe(16_384);
  });

  it('whose workers do not start goes back to the older ones’ directives', () => {
    const before = directives({});
    const { accepted } = changes({}, { keepAliveTimeout: 1, serverTokens: 'full' });
    expect(withOlder(accepted, before)).toMatchObject({
      keepAliveTimeoutMs: 1000,
      serverTokens: 'off',
    });
  });
});
