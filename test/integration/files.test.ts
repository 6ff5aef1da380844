/** sendFile, sendBytes, sendFileTo and X-Sendfile over real sockets, also to slow and leaving clients. */
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RawClient, type RawResponse } from '../support/raw-client.ts';
import {
  eventually,
  fixture,
  type ServerProcess,
  startServer,
  statusOf,
} from '../support/server-process.ts';

/** More than sockets take in. */
const HUGE = Buffer.from(
  new Uint32Array(4_000_000).map((_, index) => Math.imul(index, 2_654_435_761)).buffer,
);
const BYTES = Buffer.alloc(19_000_003, 'every byte has its place; ');
/** One worker, which must not be kept by a slow client. */
const FLAGS = ['--start-servers=1', '--min-spare-threads=1', '--max-request-workers=1'];

let base = '';
let root = '';
let web: ServerProcess;
let node: ServerProcess;
let plain: ServerProcess;
const clients: RawClient[] = [];

beforeAll(async () => {
  base = mkdtempSync(join(tmpdir(), 'mpm-files-'));
  root = join(base, 'root');
  mkdirSync(join(root, 'folder'), { recursive: true });
  writeFileSync(join(base, 'secret.txt'), 'secret');
  writeFileSync(join(root, 'small.txt'), '0123456789');
  writeFileSync(join(root, 'huge.bin'), HUGE);
  writeFileSync(join(root, '.env'), 'secret');
  symlinkSync('../secret.txt', join(root, 'outside.txt'));
  symlinkSync('..', join(root, 'up'));
  process.env.FILES_ROOT = root;
  [web, node, plain] = await Promise.all([
    startServer(fixture('files.mjs'), [...FLAGS, `--send-file-root=${root}`]),
    startServer(fixture('files-node.mjs'), [...FLAGS, `--send-file-root=${root}`]),
    startServer(fixture('files.mjs'), FLAGS),
  ]);
});
afterAll(async () => {
  for (const client of clients) client.close();
  for (const server of [web, node, plain]) expect(await server.stop()).toBe(0);
  rmSync(base, { recursive: true });
});

const open = async ({ port }: ServerProcess): Promise<RawClient> => {
  const client = await RawClient.open(port);
  clients.push(client);
  return client;
};

const text = (target: string, headers = '', method = 'GET') =>
  `${method} ${target} HTTP/1.1\r\nHost: host\r\n${headers}\r\n`;

/** On a connection of its own, which has to be fit for a second request. */
async function ask(
  server: ServerProcess,
  target: string,
  headers = '',
  method = 'GET',
): Promise<RawResponse> {
  const client = await open(server);
  client.send(text(target, headers, method));
  const response = await client.response(method, 20_000);
  client.send(text('/file?name=small.txt'));
  expect((await client.response()).body.toString()).toBe('0123456789');
  client.close();
  return response;
}

const descriptorsOf = ({ process: { pid } }: ServerProcess) =>
  readdirSync(`/proc/${pid}/fd`).length;
function memoryFilesOf({ process: { pid } }: ServerProcess): number {
  const targets = readdirSync(`/proc/${pid}/fd`).map((fd) => {
    try {
      return readlinkSync(`/proc/${pid}/fd/${fd}`);
    } catch {
      // Closed since it was listed.
      return '';
    }
  });
  return targets.filter((target) => target.startsWith('/memfd:')).length;
}
const inWriteCompletion = async (server: ServerProcess) => {
  const status = await statusOf(server);
  return Number(status.get('ConnsAsyncWriting') ?? Number.NaN);
};

describe.each([
  ['sendFile', () => web, '/file?name=huge.bin', HUGE],
  ['sendBytes', () => web, '/bytes', BYTES],
  ['sendFileTo', () => node, '/file?name=huge.bin', HUGE],
  ['X-Sendfile', () => web, '/named?name=huge.bin', HUGE],
  ['X-Sendfile of (req, res)', () => node, '/named?name=huge.bin', HUGE],
] as const)('%s', (_what, server, target, expected) => {
  it('reaches a client that reads late, byte by byte, and keeps no worker', async () => {
    const client = await open(server());
    client.socket.pause();
    client.send(text(target));
    await eventually(
      () => inWriteCompletion(server()),
      (count) => count >= 1,
    );
    expect((await ask(server(), '/file?name=small.txt')).status).toBe(200);
    client.socket.resume();
    const { status, headers, body } = await client.response('GET', 20_000);
    expect(status).toBe(200);
    expect(headers.get('content-length')).toBe(String(expected.length));
    expect(body.equals(expected)).toBe(true);
    client.send(text('/file?name=small.txt'));
    expect((await client.response()).body.toString()).toBe('0123456789');
    client.close();
  });

  it('leaves no descriptor behind, whether clients stay or go', async () => {
    await ask(server(), target);
    const before = descriptorsOf(server());
    for (let round = 0; round < 3; round++) {
      const some = await Promise.all(Array.from({ length: 4 }, () => open(server())));
      for (const client of some) client.send(text(target));
      const [staying, ...leaving] = some;
      for (const client of leaving) client.socket.pause();
      for (const client of leaving) client.socket.resetAndDestroy();
      expect((await staying.response('GET', 20_000)).body.equals(expected)).toBe(true);
      staying.close();
    }
    for (let turn = 0; turn < 50; turn++) {
      const { status } = await ask(server(), '/file?name=small.txt', 'Range: bytes=1-2\r\n');
      expect(status).toBe(206);
    }
    await eventually(
      () => descriptorsOf(server()),
      (count) => count <= before,
    );
  });
});

describe('a request that asks for less', () => {
  it.each([
    ['sendFile', () => web],
    ['sendFileTo', () => node],
  ] as const)('%s', async (_what, server) => {
    const target = '/file?name=huge.bin';
    const part = await ask(server(), target, 'Range: bytes=8000001-15999998\r\n');
    expect(part.status).toBe(206);
    expect(part.headers.get('content-range')).toBe(`bytes 8000001-15999998/${HUGE.length}`);
    expect(part.body.equals(HUGE.subarray(8_000_001, 15_999_999))).toBe(true);
    const several = await ask(server(), target, 'Range: bytes=0-1,9000000-15000000\r\n');
    expect(several.status).toBe(206);
    expect(several.body.includes(HUGE.subarray(9_000_000, 15_000_001))).toBe(true);
    const etag = part.headers.get('etag') as string;
    const same = await ask(server(), target, `If-None-Match: ${etag}\r\n`);
    expect(same.status).toBe(304);
    expect(same.headers.get('etag')).toBe(etag);
    const head = await ask(server(), target, '', 'HEAD');
    expect(head.headers.get('content-length')).toBe(String(HUGE.length));
    expect((await ask(server(), target, 'Range: bytes=99999999-\r\n')).status).toBe(416);
    const missing = await ask(server(), '/file?name=none');
    expect(missing.status).toBe(404);
    expect(missing.body.toString()).toBe('Not Found\n');
    expect(server().output()).not.toContain('error in the handler');
  });

  it('ends a response of (req, res) in the right order', async () => {
    const ofOptions = async () => {
      const events: string[] = JSON.parse((await ask(node, '/events')).body.toString());
      return events.filter((event) => event.endsWith('OPTIONS'));
    };
    await ask(node, '/file?name=huge.bin', '', 'OPTIONS');
    // Ticks run when the worker has answered what waits, so they may come after the next request.
    await eventually(ofOptions, (events) => events.length === 2);
    expect(await ofOptions()).toEqual(['finish of OPTIONS', 'close of OPTIONS']);
  });
});

describe('X-Sendfile', () => {
  const outside = [
    '../secret.txt',
    'folder/../../secret.txt',
    '/etc/passwd',
    'outside.txt',
    'up/secret.txt',
    'up/root/small.txt/../../secret.txt',
    '.env',
    '%252e%252e/secret.txt',
  ];
  it.each([
    ['fetch', () => web],
    ['(req, res)', () => node],
  ] as const)('names nothing outside its folder: %s', async (_what, server) => {
    for (const name of [...outside, join(base, 'secret.txt'), `${root}/../secret.txt`]) {
      const { status, headers, body } = await ask(server(), `/named?name=${name}`);
      expect([name, status, body.toString()]).toEqual([name, 404, 'Not Found\n']);
      expect(headers.has('x-sendfile')).toBe(false);
      // Encoded once more in the query, so this is what the field said.
      const said = JSON.stringify(decodeURIComponent(name));
      await server().prints(`hybrid-mpm: X-Sendfile ${said} of GET /named`);
    }
    const found = await ask(server(), `/named?name=${root}/small.txt`);
    expect(found.body.toString()).toBe('0123456789');
    expect(found.headers.get('content-type')).toBe('a/b');
    expect(found.headers.has('x-sendfile')).toBe(false);
  });

  it('is passed on where no folder is set', async () => {
    const { headers, body } = await ask(plain, '/named?name=small.txt');
    expect(headers.get('x-sendfile')).toBe('small.txt');
    expect(body.toString()).toBe('dropped');
  });

  it('does not start with a folder that is not there', async () => {
    const flags = ['--start-servers=1', `--send-file-root=${base}/nowhere`];
    await expect(startServer(fixture('files.mjs'), flags)).rejects.toThrow('ERR_MPM_SENDFILE_ROOT');
  });
});

describe('a worker that retires', () => {
  it('takes its memory files with it', async () => {
    const flags = ['--start-servers=1', '--max-request-workers=1', '--max-requests-per-child=4'];
    const server = await startServer(fixture('files.mjs'), flags);
    const starts = async () => Number((await statusOf(server)).get('MpmChildStarts'));
    try {
      await ask(server, '/bytes');
      expect(memoryFilesOf(server)).toBe(1);
      await eventually(
        async () => {
          expect((await ask(server, '/bytes')).body.equals(BYTES)).toBe(true);
          return starts();
        },
        (count) => count >= 4,
        45_000,
      );
      // The one that serves now may have its own.
      await eventually(
        () => memoryFilesOf(server),
        (count) => count <= 1,
      );
    } finally {
      expect(await server.stop()).toBe(0);
    }
  }, 60_000);
});

describe('a client that hangs up', () => {
  it.each(['stream', 'readable', 'iterator'])('ends the producer at once: %s', async (kind) => {
    const client = await open(web);
    client.socket.pause();
    client.send(text(`/producer?name=${kind}`));
    await new Promise((resolve) => client.socket.once('readable', resolve));
    expect(JSON.parse((await ask(web, '/told')).body.toString())).not.toContain(kind);
    client.socket.resetAndDestroy();
    const told = await eventually(
      async () => JSON.parse((await ask(web, '/told')).body.toString()) as string[],
      (all) => all.includes(kind),
    );
    expect(told.filter((one) => one === kind)).toHaveLength(1);
  });
});
