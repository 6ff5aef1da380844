// The clients that do not behave: they reset, vanish half way, or send what is no HTTP. Of the first two
// nothing is expected but that nobody else notices; the last must be refused with the right status.
import { Connection, Failure } from './connection.mjs';
import { expectStatus, get } from './expect.mjs';
import { below } from './random.mjs';
import { frame, handshake } from './websocket.mjs';

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const longTarget = `/${'a'.repeat(9000)}`;
const manyFields = Array.from({ length: 200 }, (_, index) => `X-${index}: y`);

/** Bytes that may not be served, and the status that says so. */
const malformed = [
  ['no Host', 'GET / HTTP/1.1\r\n\r\n', 400],
  ['no version', 'GET /\r\n\r\n', 400],
  ['a space before a colon', get('/light', 'X : y'), 400],
  ['a folded field', get('/light', 'X: y\r\n z'), 400],
  ['two lengths', get('/light', 'Content-Length: 1', 'Content-Length: 2'), 400],
  ['a length and chunks', get('/light', 'Content-Length: 3', 'Transfer-Encoding: chunked'), 400],
  ['a length that is none', get('/light', 'Content-Length: +1'), 400],
  ['an unknown coding', get('/light', 'Transfer-Encoding: gzip'), 501],
  [
    'a bad chunk',
    `POST /upload HTTP/1.1\r\nHost: soak\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n`,
    400,
  ],
  ['a long target', get(longTarget), 414],
  ['many fields', get('/light', ...manyFields), 431],
  ['HTTP/2.0', 'GET / HTTP/2.0\r\nHost: soak\r\n\r\n', 505],
  ['TLS', Buffer.from('160301020001000001fc0303', 'hex'), 0],
];

async function refused(client) {
  const [name, bytes, status] = malformed[below(client.random, malformed.length)];
  const connection = await Connection.open(client.port);
  client.connection = connection;
  // TLS begins a line that never ends: its client gives up.
  if (status === 0) return connection.reset();
  await connection.send(bytes);
  try {
    expectStatus(await connection.response(), status);
    await connection.end();
  } catch (error) {
    if (error instanceof Failure) error.message = `${name}: ${error.message}`;
    throw error;
  }
  connection.close();
  client.connection = null;
}

/** Each begins something; the caller then resets, or closes. */
const beginnings = [
  async () => {},
  (connection) => connection.send('GET /light HTT'),
  (connection) => connection.send(get('/light')),
  (connection) => connection.send(get('/fixed')),
  (connection) => connection.send(get('/stream/1000000')),
  (connection) => connection.send(get('/file/large.bin')),
  (connection) => connection.send(get('/wait/100')),
  (connection) => connection.send(get('/light').repeat(20)),
  (connection) =>
    connection.send('POST /upload HTTP/1.1\r\nHost: soak\r\nContent-Length: 90000\r\n\r\nabc'),
  (connection) =>
    connection.send(
      'POST /upload HTTP/1.1\r\nHost: soak\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab',
    ),
];

async function vanishing(client) {
  const choice = below(client.random, beginnings.length + 1);
  let connection;
  if (choice === beginnings.length) {
    connection = await handshake(client.port);
    await connection.send(frame(2, Buffer.alloc(5000)));
  } else {
    connection = await Connection.open(client.port);
    await beginnings[choice](connection);
  }
  // From before the server has looked to in the middle of the response.
  const after = below(client.random, 4);
  if (after > 0) await sleep(after * after * 3);
  if (below(client.random, 2) === 0) connection.reset();
  else connection.close();
}

export const rudeKinds = [
  { name: 'malformed', clients: 2, pauseMs: 80, round: refused },
  { name: 'vanishing', clients: 4, pauseMs: 60, shares: true, round: vanishing },
];
