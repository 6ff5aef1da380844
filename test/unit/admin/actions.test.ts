// Who may act on a server, and what then happens.
import { createServer, request, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Action, actionOf } from '../../../src/main/admin/action.ts';
import { ActionEndpoint, tokenDigest } from '../../../src/main/admin/action-endpoint.ts';
import { type ActionTargets, perform } from '../../../src/main/admin/actions.ts';
import { send } from '../../../src/main/admin/reply.ts';
import { type Directives, resolveDirectives } from '../../../src/main/config/directives.ts';

const TOKEN = 'a-token-of-some-length';

describe('the endpoint', () => {
  const asked: Action[] = [];
  let endpoint: ActionEndpoint;
  let server: Server;
  let port = 0;
  beforeAll(async () => {
    endpoint = new ActionEndpoint(tokenDigest(TOKEN), ({ id, action }) => {
      asked.push(action);
      endpoint.done({ kind: 'done', id, result: { status: 202, message: 'begun' } });
    });
    server = createServer((incoming, response) => {
      void endpoint.reply(incoming).then((reply) => send(response, reply, true));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    port = (server.address() as AddressInfo).port;
  });
  afterAll(() => {
    server.closeAllConnections();
    server.close();
  });

  const post = (body: string, headers: Record<string, string> = {}) =>
    new Promise<readonly [number, string]>((resolve, reject) => {
      const sent = request(
        {
          port,
          host: '127.0.0.1',
          method: 'POST',
          agent: false,
          headers: { 'Content-Type': 'application/x-www-form-urlencoded', ...headers },
        },
        (response) => {
          let text = '';
          response.setEncoding('utf8').on('data', (piece: string) => {
            text += piece;
          });
          response.on('end', () => resolve([response.statusCode ?? 0, text.trim()]));
        },
      );
      sent.on('error', reject);
      sent.end(body);
    });
  const bearer = { Authorization: `Bearer ${TOKEN}` };

  it('takes the token from the header or the form, and hands the action on', async () => {
    expect(await post('action=recycle&worker=3', bearer)).toEqual([202, 'begun']);
    expect(await post(`action=recycle&worker=4&token=${TOKEN}`)).toEqual([202, 'begun']);
    const json = JSON.stringify({ action: 'set', directive: 'keepAliveTimeout', value: '5s' });
    expect(await post(json, { ...bearer, 'Content-Type': 'application/json' })).toEqual([
      202,
      'begun',
    ]);
    expect(asked.splice(0)).toEqual([
      { kind: 'recycle', worker: 3 },
      { kind: 'recycle', worker: 4 },
      { kind: 'set', directive: 'keepAliveTimeout', value: '5s' },
    ]);
  });

  it.each([
    ['no token', {}, 401],
    ['a wrong token', { Authorization: 'Bearer a-token-of-some-lengtX' }, 401],
    ['a prefix of it', { Authorization: `Bearer ${TOKEN.slice(0, -1)}` }, 401],
    ['another scheme', { Authorization: `Basic ${TOKEN}` }, 401],
    ['another site, by its origin', { ...bearer, Origin: 'http://evil.example' }, 403],
    ['a page without an origin', { ...bearer, Origin: 'null' }, 403],
    ['another site, as the browser says', { ...bearer, 'Sec-Fetch-Site': 'cross-site' }, 403],
    ['a neighbouring site', { ...bearer, 'Sec-Fetch-Site': 'same-site' }, 403],
    ['a body of another type', { ...bearer, 'Content-Type': 'text/plain' }, 400],
  ])('refuses %s', async (_name, headers, status) => {
    expect((await post('action=recycle&worker=3', headers))[0]).toBe(status);
    expect(asked).toEqual([]);
  });

  it('takes what its own page sends', async () => {
    const own = { ...bearer, Origin: `http://127.0.0.1:${port}`, 'Sec-Fetch-Site': 'same-origin' };
    expect((await post('action=recycle&worker=3', own))[0]).toBe(202);
    asked.length = 0;
  });

  it('bounds the body', async () => {
    expect((await post(`token=${'x'.repeat(5_000)}`))[0]).toBe(413);
  });

  it('has no actions without a token', async () => {
    const off = new ActionEndpoint(null, () => expect.unreachable());
    expect(off.enabled).toBe(false);
    expect((await off.reply({ headers: {} } as never)).status).toBe(403);
  });
});

describe('actionOf', () => {
  const of = (text: string) => actionOf(new Map(new URLSearchParams(text)));

  it.each([
    ['', /^action must be recycle, close or set, not ""$/],
    ['action=reboot', /not "reboot"$/],
    ['action=recycle', /^worker must be a whole number, not ""$/],
    ['action=recycle&worker=-1', /not "-1"$/],
    ['action=close&connection=1', /^incarnation must be/],
    ['action=set&directive=listen&value=1', /^directive must be one of maxConnectionsPerChild, /],
    ['action=set&directive=keepAliveTimeout&value=+', /^value is missing$/],
  ])('refuses %s', (text, message) => {
    expect(() => of(text)).toThrow(message);
  });
});

describe('perform', () => {
  let directives: Directives = resolveDirectives({ minSpareThreads: 2, maxSpareThreads: 4 });
  const targets: ActionTargets = {
    directives: () => directives,
    apply: async (next) => {
      directives = next;
    },
    hasWorker: (slot) => slot < 2,
    recycle: (slot) => slot === 0,
    close: (slot) => (['closed', 'ending', 'gone'] as const)[slot] ?? 'gone',
  };
  const set = (directive: 'maxSpareThreads' | 'keepAliveTimeout', value: string) =>
    perform({ kind: 'set', directive, value }, targets);

  it('replaces workers', async () => {
    const statuses = [0, 1, 2].map((worker) => perform({ kind: 'recycle', worker }, targets));
    expect((await Promise.all(statuses)).map(({ status }) => status)).toEqual([202, 409, 404]);
  });

  it('closes connections', async () => {
    const statuses = [0, 1, 2].map((connection) =>
      perform({ kind: 'close', connection, incarnation: 0 }, targets),
    );
    expect((await Promise.all(statuses)).map(({ status }) => status)).toEqual([200, 202, 404]);
  });

  it('sets a directive as a configuration would', async () => {
    expect(await set('keepAliveTimeout', '5s')).toEqual({
      status: 200,
      message: 'keepAliveTimeout is 5s, was 65s',
    });
    expect(directives.keepAliveTimeoutMs).toBe(5_000);
  });

  it('refuses what a configuration would refuse', async () => {
    const before = directives;
    expect(await set('keepAliveTimeout', 'soon')).toMatchObject({
      status: 400,
      message: expect.stringMatching(/^keepAliveTimeout must be a time .*, not "soon"$/),
    });
    expect(await set('maxSpareThreads', '1')).toEqual({
      status: 409,
      message: 'minSpareThreads (2) must be at most maxSpareThreads (1)',
    });
    expect(directives).toBe(before);
  });
});
