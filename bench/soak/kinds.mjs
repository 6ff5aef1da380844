// The clients that behave: what each does in a round, how many there are, and how long they rest.
//
// A kind is { name, clients, pauseMs, shares?, pinned?, round }. `round` may keep a connection for the next one;
// where it throws the connection is closed and the next round begins with a fresh one. `shares`: the
// request stays in its worker while others are served there, so a fault of one of those ends it as well.
// `pinned`: so does its connection, between two rounds.
import { Connection } from './connection.mjs';
import { expectAccount, expectLight, expectPayload, expectStatus, get } from './expect.mjs';
import { digest, payload, payloadBytes } from './payload.mjs';
import { below } from './random.mjs';
import { echoes } from './websocket.mjs';

const slowBytesPerSecond = 400_000;
const pipelineDepth = 8;
const fileName = 'large.bin';

/** A file, bytes that never change, bytes that are spilled, pieces that are asked for. */
const slowPaths = [
  `/file/${fileName}`,
  '/fixed',
  `/bytes/${payloadBytes}`,
  `/stream/${payloadBytes}`,
];

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** The client's own connection; a new one where it has none. */
async function kept(client, options) {
  if (client.connection === null) client.connection = await Connection.open(client.port, options);
  return client.connection;
}

async function ask(client, path, expect, ...fields) {
  const connection = await kept(client);
  await connection.send(get(path, ...fields));
  const response = await connection.response();
  expect(response);
  return response;
}

const partOf = (random) => 1 + below(random, payloadBytes / 4);

async function fresh(client) {
  const connection = await Connection.open(client.port);
  client.connection = connection;
  await connection.send(get('/light', 'Connection: close'));
  expectLight(await connection.response());
  await connection.end();
  connection.close();
  client.connection = null;
}

async function pipelined(client) {
  const connection = await kept(client);
  const lengths = Array.from({ length: pipelineDepth }, () => 1 + below(client.random, 3000));
  await connection.send(lengths.map((length) => get(`/bytes/${length}`)).join(''));
  for (const length of lengths) expectPayload(await connection.response(), 0, length);
}

async function upload(client) {
  const connection = await kept(client);
  const body = payload.subarray(0, partOf(client.random));
  const head = `POST /upload HTTP/1.1\r\nHost: soak\r\nContent-Length: ${body.length}\r\n`;
  const waits = below(client.random, 4) === 0;
  await connection.send(`${head}${waits ? 'Expect: 100-continue\r\n' : ''}\r\n`);
  await connection.send(body);
  expectAccount(await connection.response(), body.length, digest(body));
}

async function chunkedUpload(client) {
  const connection = await kept(client);
  const length = partOf(client.random);
  await connection.send(
    'POST /upload HTTP/1.1\r\nHost: soak\r\nTransfer-Encoding: chunked\r\n\r\n',
  );
  for (let at = 0; at < length; ) {
    const piece = payload.subarray(at, Math.min(length, at + 1 + below(client.random, 20_000)));
    await connection.send(`${piece.length.toString(16)}\r\n`);
    await connection.send(piece);
    await connection.send('\r\n');
    at += piece.length;
  }
  await connection.send('0\r\n\r\n');
  expectAccount(await connection.response(), length, digest(payload.subarray(0, length)));
}

/** The whole of it, a part of it, or only whether it has changed. */
async function file(client) {
  const path = `/file/${fileName}`;
  const choice = below(client.random, 3);
  if (choice === 0) {
    const { fields } = await ask(client, path, expectPayload);
    client.tag = fields.get('etag');
  } else if (choice === 1 || client.tag === undefined) {
    const from = below(client.random, payloadBytes / 2);
    const length = partOf(client.random);
    const expect = (response) => expectPayload(response, from, length, 206);
    await ask(client, path, expect, `Range: bytes=${from}-${from + length - 1}`);
  } else {
    const expect = (response) => expectStatus(response, 304);
    await ask(client, path, expect, `If-None-Match: ${client.tag}`);
  }
}

async function slow(client) {
  const connection = await kept(client, { receiveBytes: 16 * 1024 });
  const path = slowPaths[below(client.random, slowPaths.length)];
  await connection.send(get(path));
  const pace = (bytes) => sleep((bytes / slowBytesPerSecond) * 1000);
  expectPayload(await connection.response({ pace }));
}

const light = (client) => ask(client, '/light', expectLight);
const bytesRound = (client) => {
  const length = partOf(client.random);
  if (below(client.random, 2) === 0) return ask(client, '/fixed', expectPayload);
  return ask(client, `/bytes/${length}`, (response) => expectPayload(response, 0, length));
};
const streamRound = (client) => {
  const length = partOf(client.random);
  return ask(client, `/stream/${length}`, (response) => expectPayload(response, 0, length));
};
/** Computes for longer than anybody else; now and then its client does not wait for the end. */
async function lengthy(client) {
  if (below(client.random, 4) > 0) return ask(client, '/lengthy/300', expectLight);
  client.connection?.close();
  client.connection = null;
  const leaving = await Connection.open(client.port);
  await leaving.send(get('/lengthy/300'));
  await sleep(below(client.random, 400));
  leaving.close();
}
/** A person: asks for something that waits on others, reads, asks again. */
const thinking = (client) => ask(client, `/wait/${20 + below(client.random, 200)}`, expectLight);

export const kinds = [
  { name: 'light', clients: 16, pauseMs: 40, round: light },
  { name: 'new connections', clients: 4, pauseMs: 60, round: fresh },
  { name: 'pipelined', clients: 2, pauseMs: 100, round: pipelined },
  { name: 'uploads', clients: 2, pauseMs: 100, shares: true, round: upload },
  { name: 'chunked uploads', clients: 2, pauseMs: 100, shares: true, round: chunkedUpload },
  { name: 'files', clients: 2, pauseMs: 100, shares: true, round: file },
  { name: 'bytes', clients: 2, pauseMs: 100, shares: true, round: bytesRound },
  { name: 'streams', clients: 2, pauseMs: 100, shares: true, round: streamRound },
  { name: 'slow readers', clients: 12, pauseMs: 300, shares: true, round: slow },
  { name: 'thinking', clients: 32, pauseMs: 800, shares: true, round: thinking },
  {
    name: 'computing',
    clients: 1,
    pauseMs: 200,
    round: (client) => ask(client, '/burn/20', expectLight),
  },
  {
    name: 'lengthy',
    clients: 2,
    pauseMs: 700,
    round: lengthy,
  },
  { name: 'websockets', clients: 8, pauseMs: 100, shares: true, pinned: true, round: echoes },
];
/** Asks as fast as it is answered, as wrk does. */
export const closedLoop = { name: 'light', clients: 64, pauseMs: 0, round: light };
