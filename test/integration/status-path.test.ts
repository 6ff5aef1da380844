/** The status page among the application's own paths: who sees it, and that it is the same page. */
import { afterEach, describe, expect, it } from 'vitest';
import WebSocket from 'ws';
import { statusSchema } from '../../src/main/admin/schema.ts';
import { RawClient } from '../support/raw-client.ts';
import { eventually, fixture, type ServerProcess, startServer } from '../support/server-process.ts';

let server: ServerProcess | null = null;
afterEach(async () => {
  await server?.stop('SIGKILL');
  server = null;
});
const PATH = '/internal/status';
const start = async (entry: string, ...flags: string[]): Promise<ServerProcess> => {
  server = await startServer(fixture(entry), ['--start-servers=2', ...flags]);
  return server;
};
async function ask(port: number, line: string, ...fields: string[]) {
  const client = await RawClient.open(port);
  client.send(
    `${line} HTTP/1.1\r\nHost: a\r\n${fields.map((field) => `${field}\r\n`).join('')}\r\n`,
  );
  const { status, body } = await client.response();
  return { status, text: body.toString() };
}

describe('the page at statusPath', () => {
  it('has all forms, and leaves every other path to the application', async () => {
    const { port } = await start('client.mjs', `--status-path=${PATH}`);
    const url = `http://127.0.0.1:${port}${PATH}`;
    const page = await fetch(url);
    expect(page.headers.get('content-security-policy')).toContain("default-src 'none'");
    const html = await page.text();
    expect(html).toContain('<title>Server status: ');
    expect(html).not.toContain('<script>');
    expect(html).not.toContain('<form method="post"');
    expect(html).not.toContain('/metrics');
    const document = statusSchema.parse(await (await fetch(`${url}?json`)).json());
    expect(document.server.pid).toBe(server?.process.pid);
    expect(await (await fetch(`${url}?auto`)).text()).toMatch(/^ServerMPM: event$/m);
    expect((await fetch(`${url}?csv`)).headers.get('content-type')).toMatch(/^text\/csv/);
    expect((await fetch(`${url}?limit=0`)).status).toBe(400);
    expect((await fetch(`${url}?events`)).status).toBe(404);
    expect((await fetch(`${url}?refresh=7`)).headers.get('refresh')).toBe('7');
    expect(await ask(port, `GET http://a${PATH}?auto`)).toMatchObject({ status: 200 });
    expect(await ask(port, `POST ${PATH}`)).toMatchObject({ status: 405 });
    for (const other of [`${PATH}x`, `${PATH}/`, '/', '/internal']) {
      expect((await ask(port, `GET ${other}`)).text, other).toContain('remoteAddress');
    }
  });

  it('shows limits as they are now, and the history of the server', async () => {
    const { port, adminPort } = await start(
      'app.mjs',
      `--status-path=${PATH}`,
      '--admin-token=0123456789abcdef',
    );
    const answer = await fetch(`http://127.0.0.1:${adminPort}/server-status/actions`, {
      method: 'POST',
      headers: { Authorization: 'Bearer 0123456789abcdef' },
      body: new URLSearchParams({ action: 'set', directive: 'keepAliveTimeout', value: '7s' }),
    });
    expect(answer.status).toBe(200);
    const now = async () =>
      statusSchema.parse(await (await fetch(`http://127.0.0.1:${port}${PATH}?json`)).json());
    expect((await now()).limits.keepAliveTimeoutMs).toBe(7_000);
    await eventually(now, ({ history }) => history.connections.length >= 2);
  });

  it('is refused to whom statusAllow does not name', async () => {
    const { port } = await start(
      'client.mjs',
      `--status-path=${PATH}`,
      '--status-allow=10.0.0.0/8',
    );
    expect((await ask(port, `GET ${PATH}`)).status).toBe(403);
    expect((await ask(port, `GET ${PATH}?auto`)).status).toBe(403);
  });

  it('is refused to what a proxy passes on that nobody trusts', async () => {
    const { port } = await start('client.mjs', `--status-path=${PATH}`);
    expect((await ask(port, `GET ${PATH}`, 'X-Forwarded-For: 127.0.0.1')).status).toBe(403);
    expect((await ask(port, `GET ${PATH}`, 'Forwarded: for=127.0.0.1')).status).toBe(403);
  });

  it('goes by the client that a trusted proxy names', async () => {
    const flags = [
      `--status-path=${PATH}`,
      '--trust-proxy=loopback',
      '--status-allow=192.0.2.0/24',
    ];
    const { port } = await start('client.mjs', ...flags);
    expect((await ask(port, `GET ${PATH}`, 'X-Forwarded-For: 192.0.2.7')).status).toBe(200);
    expect((await ask(port, `GET ${PATH}`, 'X-Forwarded-For: 192.0.3.7')).status).toBe(403);
    expect((await ask(port, `GET ${PATH}`)).status).toBe(403);
  });

  it("is the application's path where it is not set", async () => {
    const { port } = await start('client.mjs');
    expect((await ask(port, 'GET /server-status')).text).toContain('remoteAddress');
  });

  it('leaves upgrades to an application that takes them', async () => {
    const { port } = await start('websocket.mjs', `--status-path=${PATH}`);
    expect((await fetch(`http://127.0.0.1:${port}${PATH}?auto`)).status).toBe(200);
    const socket = new WebSocket(`ws://127.0.0.1:${port}/`);
    const echoed = await new Promise((resolve, reject) => {
      socket.onerror = () => reject(new Error('no upgrade'));
      socket.onopen = () => socket.send('hello');
      socket.onmessage = ({ data }) => resolve(String(data));
    });
    expect(echoed).toBe('hello');
    socket.close();
  });
});
