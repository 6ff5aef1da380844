import { describe, expect, it } from 'vitest';
import { LengthyRoutes } from '../../../src/workers/lengthy/lengthy-routes.ts';

describe('routes declared lengthy', () => {
  it('match by path, whole or by its beginning, whatever the query', () => {
    const routes = LengthyRoutes.from(['/report/*', '/export']);
    const has = (target: string) => routes?.has(target);
    expect(['/report/', '/report/2026?a=1', '/export', '/export?a'].map(has)).not.toContain(false);
    expect(['/', '/report', '/export/1', '/x?/report/'].map(has)).not.toContain(true);
  });

  it('are none where nothing, or an empty list, is declared', () => {
    expect(LengthyRoutes.from(undefined)).toBeNull();
    expect(LengthyRoutes.from([])).toBeNull();
  });

  it.each([
    ['/report'],
    [['report']],
    [['/a/*/b']],
    [[7]],
    [{ '/report': true }],
    [null],
  ])('of another form are refused by name: %j', (declared) => {
    expect(() => LengthyRoutes.from(declared)).toThrow(/^lengthy.* must be an array of paths/);
  });
});
