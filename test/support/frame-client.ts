/** A WebSocket client that says exactly the frames it is given (RFC 6455, section 5.2), right or wrong. */
import { RawClient } from './raw-client.ts';

export const Opcode = {
  continuation: 0,
  text: 1,
  binary: 2,
  close: 8,
  ping: 9,
  pong: 10,
} as const;

export interface Frame {
  readonly opcode: number;
  readonly payload: Buffer;
  readonly final?: boolean;
  readonly masked?: boolean;
  /** Bits RSV1 to RSV3, 0 .. 7. */
  readonly reserved?: number;
}

/** The handshake, RFC 6455, section 4.1, and what `more` says behind it at once. */
export async function openWebSocket(port: number, more: Uint8Array = Buffer.alloc(0)) {
  const client = await RawClient.open(port);
  const head = `GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`;
  client.send(Buffer.concat([Buffer.from(head, 'latin1'), more]));
  const { status, headers } = await client.response();
  // The key is that of section 1.3, and so is the answer to it.
  const accepted = headers.get('sec-websocket-accept') === 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=';
  if (status !== 101 || !accepted) throw new Error(`no WebSocket: ${status}`);
  return client;
}

export function frame({
  opcode,
  payload,
  final = true,
  masked = true,
  reserved = 0,
}: Frame): Buffer {
  const { length } = payload;
  const size = length < 126 ? length : length < 0x10000 ? 126 : 127;
  const head = Buffer.alloc(2 + (size === 126 ? 2 : size === 127 ? 8 : 0));
  head[0] = (final ? 0x80 : 0) | (reserved << 4) | opcode;
  head[1] = (masked ? 0x80 : 0) | size;
  if (size === 126) head.writeUInt16BE(length, 2);
  if (size === 127) head.writeBigUInt64BE(BigInt(length), 2);
  if (!masked) return Buffer.concat([head, payload]);
  const mask = Buffer.from([0x37, 0xfa, 0x21, 0x3d]);
  const bytes = Buffer.from(payload.map((byte, at) => byte ^ (mask[at & 3] as number)));
  return Buffer.concat([head, mask, bytes]);
}

/** Frames of a server, which masks none (section 5.1), as far as they are whole. */
export function framesIn(bytes: Buffer): Frame[] {
  const frames: Frame[] = [];
  for (let at = 0; at + 2 <= bytes.length; ) {
    const [first, second] = [bytes[at] as number, bytes[at + 1] as number];
    if ((second & 0x80) !== 0) throw new Error('a server must not mask');
    const size = second & 0x7f;
    const start = at + 2 + (size === 126 ? 2 : size === 127 ? 8 : 0);
    if (start > bytes.length) break;
    const long =
      size === 126
        ? bytes.readUInt16BE(at + 2)
        : Number(size === 127 && bytes.readBigUInt64BE(at + 2));
    const end = start + (size < 126 ? size : long);
    if (end > bytes.length) break;
    frames.push({
      opcode: first & 15,
      final: (first & 0x80) !== 0,
      payload: bytes.subarray(start, end),
    });
    at = end;
  }
  return frames;
}
