// Deadlines that an application declares for its routes.
import { describe, expect, it } from 'vitest';
import { RouteDeadlines } from '../../../src/workers/route-deadlines.ts';

describe('deadlines of routes', () => {
  const deadlines = RouteDeadlines.from({
    '/report': 3,
    '/report/*': '10s',
    '/report/quick/*': '500ms',
    '/events': 0,
  });

  it.each([
    ['/report', 3_000],
    ['/report?year=2026', 3_000],
    ['/report/2026', 10_000],
    ['/report/quick/2026?x', 500],
    ['/events', 0],
    ['/', null],
    ['/reports', null],
    ['*', null],
  ])('%s: %j', (target, milliseconds) => {
    expect(deadlines?.of(target)).toBe(milliseconds);
  });

  it('are none where nothing is declared', () => {
    expect(RouteDeadlines.from(undefined)).toBeNull();
  });

  it.each([
    [{ report: '1s' }, /deadlines\['report'\] = 1s/],
    [{ '/a*b': '1s' }, /deadlines\['\/a\*b'\]/],
    [{ '/a': 'soon' }, /deadlines\['\/a'\] = soon: deadlines must be/],
    [{ '/a': '48h' }, /at most 24h/],
    [['/a'], /deadlines must be an object/],
    ['10s', /deadlines must be an object/],
    [null, /deadlines must be an object/],
  ])('are refused by name where they are none: %j', (declared, message) => {
    expect(() => RouteDeadlines.from(declared)).toThrow(message);
  });
});
