// The URL of the status page.
import { describe, expect, it } from 'vitest';
import { linkTo } from '../../../src/main/admin/query.ts';
import { queryOf } from '../../support/status-view.ts';

describe('parseQuery', () => {
  it('reads what was asked for', () => {
    expect(
      queryOf('state=keepalive,W&client=10.&worker=3&request=/api&sort=-age&limit=50&queries=show'),
    ).toEqual({
      states: ['keepalive', 'processing'],
      client: '10.',
      worker: 3,
      request: '/api',
      sort: 'age',
      descending: true,
      limit: 50,
      connection: null,
      showQueries: true,
      refresh: null,
    });
  });

  it('takes empty values, as a form sends them, for absent ones', () => {
    expect(queryOf('state=&client=&worker=&request=&sort=&limit=')).toEqual(queryOf(''));
  });

  it.each([
    ['state=busy', /^state=busy: must be one or more of waitRequest \(a\), /],
    ['sort=name', /^sort=name: must be one of active, slot, /],
    ['sort=--age', /^sort=--age: /],
    ['limit=0', /^limit=0: must be a whole number from 1 to 20000$/],
    ['limit=1e3', /^limit=1e3: /],
    ['limit=-1', /^limit=-1: /],
    ['worker=99999', /^worker=99999: /],
    ['connection=x', /^connection=x: /],
    ['queries=yes', /^queries=yes: must be show or mask$/],
    [`client=${'x'.repeat(201)}`, /must have at most 200 characters$/],
  ])('refuses %s', (text, message) => {
    expect(() => queryOf(text)).toThrow(message);
  });

  it('writes links that parse to the same again', () => {
    const query = queryOf(
      'state=queued&client=%5B::1%5D&sort=-sent&limit=7&connection=3&refresh=9',
    );
    expect(queryOf(linkTo(query).slice(1))).toEqual(query);
    expect(linkTo(queryOf(''))).toBe('?');
    expect(queryOf(linkTo(query, { connection: null }).slice(1)).connection).toBeNull();
  });
});
