// Records of requests: bytes as received, of one connection, and whole.
import { describe, expect, it } from 'vitest';
import { HALF_BYTES, recordAt, recordsBytes, SECOND_HALF } from '../../../src/scoreboard/halves.ts';
import { REQUEST } from '../../../src/scoreboard/layout.ts';
import {
  HOST_KEPT_BYTES,
  RequestRecords,
  TEXT_KEPT_BYTES,
} from '../../../src/scoreboard/request-records.ts';

const SLOTS = 4;
function records() {
  const memory = new SharedArrayBuffer(recordsBytes(SLOTS));
  return { memory, records: new RequestRecords(memory, 0, SLOTS) };
}

/** A head somewhere in a buffer, and where its parts are. */
function placed(method: string, target: string, host: string, offset = 3) {
  const head = `${method} ${target} HTTP/1.1\r\nHost: ${host}\r\n\r\n`;
  const bytes = new Uint8Array(offset + head.length);
  bytes.set(Buffer.from(head, 'latin1'), offset);
  const hostStart = offset + head.indexOf('Host: ') + 6;
  const source = new DataView(bytes.buffer);
  const place = {
    lineStart: offset,
    methodBytes: method.length,
    targetBytes: target.length,
    hostStart,
    hostBytes: host.length,
    minorVersion: 1 as const,
  };
  return { source, place };
}

/** Offsets of what was written, relative to the record of a slot; others' are below 0 or beyond it. */
const written = (memory: SharedArrayBuffer, slot: number): number[] =>
  [...new Uint8Array(memory).entries()]
    .filter(([, byte]) => byte !== 0)
    .map(([at]) => at - recordAt(slot));

describe('a record', () => {
  it.each([
    ['GET', '/', 'a'],
    ['OPTIONS', '*', 'example.test:8080'],
    ['GET', `/${'\x80\xff'.repeat(10)}`, ''],
    ['A'.repeat(32), '/x', 'b.test'],
    ['GET', `/${'y'.repeat(67)}`, 'h'.repeat(24)],
    ['GET', `/${'y'.repeat(68)}`, 'h'.repeat(25)],
    ['GET', `/${'abcdefg'.repeat(24)}`, 'ijklm'.repeat(9)],
    ['GET', `/${'y'.repeat(171)}`, 'h'.repeat(48)],
  ])('has %s %s and Host %s as received', (method, target, host) => {
    const { records: all } = records();
    for (const offset of [0, 1, 2, 3]) {
      const { source, place } = placed(method, target, host, offset);
      all.begin(2, 7, 1000, source, place);
      expect(all.read(2, 7, 1500)).toEqual({
        method,
        target,
        targetBytes: target.length,
        host,
        hostBytes: host.length,
        minorVersion: 1,
        active: true,
        status: 0,
        durationMs: 0,
        ageMs: 500,
      });
    }
  });

  it('is cut at 48 bytes of Host and 176 of method and target, with the whole lengths beside', () => {
    const { memory, records: all } = records();
    const { source, place } = placed('GET', `/${'z'.repeat(500)}`, 'h'.repeat(90));
    all.begin(0, 0, 0, source, place);
    const row = all.read(0, 0, 0);
    expect(row).toMatchObject({ targetBytes: 501, hostBytes: 90, host: 'h'.repeat(48) });
    expect(row?.target).toBe(`/${'z'.repeat(171)}`);
    expect([HOST_KEPT_BYTES, TEXT_KEPT_BYTES]).toEqual([48, 176]);
    expect(all.read(1, 0, 0), 'its neighbour is untouched').toBeNull();
    const isOwn = (at: number) =>
      (at >= 0 && at < HALF_BYTES) || (at >= SECOND_HALF && at < SECOND_HALF + HALF_BYTES);
    expect(written(memory, 0).filter((at) => !isOwn(at))).toEqual([]);
  });

  it('leaves its second half alone unless Host or request line are long', () => {
    const { memory, records: all } = records();
    for (const [target, host] of [
      [`/${'a'.repeat(67)}`, 'h'.repeat(24)],
      ['/', ''],
    ] as const) {
      const { source, place } = placed('GET', target, host);
      all.begin(1, 5, 7, source, place);
      all.end(1, 200, 3);
    }
    all.beginRefused(1, 5, 7, 'GET', '/b'.repeat(34), 1);
    expect(written(memory, 1).filter((at) => at < 0 || at >= HALF_BYTES)).toEqual([]);
    const { source, place } = placed('GET', '/', 'h'.repeat(25));
    all.begin(1, 5, 7, source, place);
    expect(written(memory, 1).some((at) => at >= SECOND_HALF)).toBe(true);
  });

  it('has status and duration once it is over, and neither when the next begins', () => {
    const { records: all } = records();
    const { source, place } = placed('GET', '/', 'a');
    all.begin(0, 3, 0, source, place);
    all.end(0, 404, 1.25);
    expect(all.read(0, 3, 0)).toMatchObject({ active: false, status: 404, durationMs: 1.25 });
    all.begin(0, 3, 0, source, place);
    expect(all.read(0, 3, 0)).toMatchObject({ active: true, status: 0, durationMs: 0 });
    // A handler's own head without a readable status, at once.
    all.end(0, 0, 0);
    expect(all.read(0, 3, 0)).toMatchObject({ active: false, status: 0, durationMs: 0 });
    all.end(0, 599, 86_400_000);
    expect(all.read(0, 3, 0)).toMatchObject({ status: 599, durationMs: 86_400_000 });
  });

  it('is of its connection alone', () => {
    const { records: all } = records();
    const { source, place } = placed('GET', '/', 'a');
    expect(all.read(0, 0, 0)).toBeNull();
    all.begin(0, 0, 0, source, place);
    expect(all.read(0, 1, 0)).toBeNull();
    expect(all.read(0, 0, 0)).not.toBeNull();
  });

  it('is unreadable while it is written, also for ever, until the next request', () => {
    const { memory, records: all } = records();
    const { source, place } = placed('GET', '/', 'a');
    all.begin(0, 0, 0, source, place);
    const words = new Int32Array(memory);
    words[REQUEST.sequence.offset >> 2] = (words[REQUEST.sequence.offset >> 2] as number) + 1;
    expect(all.read(0, 0, 0)).toBeNull();
    all.begin(0, 0, 0, source, place);
    expect(all.read(0, 0, 0)).toMatchObject({ target: '/' });
  });

  it('of a refused request has what could be read of it', () => {
    const { records: all } = records();
    all.beginRefused(0, 0, 0, 'GET', '/a b', 0);
    expect(all.read(0, 0, 0)).toMatchObject({
      method: 'GET',
      target: '/a b',
      targetBytes: 4,
      host: '',
      minorVersion: 0,
    });
    all.beginRefused(0, 0, 0, 'x'.repeat(400), '', 1);
    expect(all.read(0, 0, 0)).toMatchObject({ method: 'x'.repeat(176), target: '' });
  });
});
