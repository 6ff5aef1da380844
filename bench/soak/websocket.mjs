// A WebSocket client (RFC 6455) that echoes, at the level of frames, so that each byte is checked.
import { randomBytes } from 'node:crypto';
import { Connection, Failure } from './connection.mjs';
import { expectStatus } from './expect.mjs';
import { payload } from './payload.mjs';
import { below } from './random.mjs';

const messages = 4;
const opcode = { binary: 2, close: 8 };
const goingAway = 1001;
const shortLength = 125;
const extendedLength = 126;

/** A frame of a client: final, masked. At most 65,535 bytes. */
export function frame(kind, bytes) {
  const mask = randomBytes(4);
  const head =
    bytes.length <= shortLength
      ? Buffer.of(0x80 | kind, 0x80 | bytes.length)
      : Buffer.of(0x80 | kind, 0x80 | extendedLength, bytes.length >> 8, bytes.length & 0xff);
  const masked = Buffer.from(bytes);
  for (let index = 0; index < masked.length; index++) masked[index] ^= mask[index & 3];
  return Buffer.concat([head, mask, masked]);
}

async function readFrame(connection) {
  const [first, second] = await connection.take(2);
  let length = second & 0x7f;
  if (length === extendedLength) length = (await connection.take(2)).readUInt16BE(0);
  if ((second & 0x80) !== 0 || length > 65_535) throw new Failure('framing', 'frame of a server');
  return { kind: first & 0x0f, bytes: await connection.take(length) };
}

export async function handshake(port) {
  const connection = await Connection.open(port);
  try {
    const key = randomBytes(16).toString('base64');
    const fields = `Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}`;
    await connection.send(`GET /echo HTTP/1.1\r\nHost: soak\r\n${fields}\r\n\r\n`);
    expectStatus(await connection.response(), 101);
    return connection;
  } catch (error) {
    connection.close();
    throw error;
  }
}

/** A few messages there and back. Whoever is told that the server goes away comes back. */
export async function echoes(client) {
  client.connection ??= await handshake(client.port);
  for (let count = 0; count < messages; count++) {
    const from = below(client.random, payload.length / 2);
    const message = payload.subarray(from, from + 1 + below(client.random, 5000));
    await client.connection.send(frame(opcode.binary, message));
    const { kind, bytes } = await readFrame(client.connection);
    if (kind === opcode.close && bytes.readUInt16BE(0) === goingAway) {
      client.connection.close();
      client.connection = null;
      return;
    }
    if (kind !== opcode.binary || !bytes.equals(message)) {
      throw new Failure('echo', `opcode ${kind}, ${bytes.length} bytes of ${message.length}`);
    }
  }
}
