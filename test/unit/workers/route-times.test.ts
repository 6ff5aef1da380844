// Which routes a leading worker takes for long.
import { describe, expect, it } from 'vitest';
import { ROUTES } from '../../../src/scoreboard/layout.ts';
import { RouteTimes } from '../../../src/workers/route-times.ts';

const times = () => new RouteTimes(new Int32Array(ROUTES));

describe('a route', () => {
  it('is told by method and path, whatever the query', () => {
    const routes = times();
    expect(routes.routeOf('GET', '/burn?ms=20')).toBe(routes.routeOf('GET', '/burn?ms=5'));
    expect(routes.routeOf('GET', '/burn')).not.toBe(routes.routeOf('GET', '/light'));
  });

  it('is long after one long handler, where nothing else is known', () => {
    const routes = times();
    expect(routes.isLong(7)).toBe(false);
    routes.record(7, 20);
    expect(routes.isLong(7)).toBe(true);
  });

  it('stays short although a thread had to wait for a processor once', () => {
    const routes = times();
    for (let count = 0; count < 10; count++) routes.record(7, 0.01);
    routes.record(7, 500);
    expect(routes.isLong(7)).toBe(false);
  });

  it('becomes long, and short again, when it changes', () => {
    const routes = times();
    for (let count = 0; count < 10; count++) routes.record(7, 0.01);
    for (let count = 0; count < 10; count++) routes.record(7, 20);
    expect(routes.isLong(7)).toBe(true);
    for (let count = 0; count < 10; count++) routes.record(7, 0.01);
    expect(routes.isLong(7)).toBe(false);
  });

  it('is known to every worker', () => {
    const shared = new Int32Array(ROUTES);
    new RouteTimes(shared).record(7, 20);
    expect(new RouteTimes(shared).isLong(7)).toBe(true);
  });
});
