/**
 * What the rest of a worker relies on when it uses the chunked decoder, beyond the grammar, which
 * the conformance cases see to.
 */

import { describe, expect, test } from 'vitest';
import { CHUNKED_PHASE, ChunkedDecoder } from '../../../src/workers/http1/chunked-decoder.ts';

function latin1(text: string): Buffer {
  return Buffer.from(text, 'latin1');
}

/** One chunk for each size, with numbered payload. */
function encode(sizes: readonly number[]): { wire: string; payload: string } {
  let payload = '';
  let wire = '';
  for (const size of sizes) {
    const chunk = Array.from({ length: size }, (_, i) =>
      String.fromCharCode((payload.length + i) % 251),
    ).join('');
    payload += chunk;
    wire += `${size.toString(16)}\r\n${chunk}\r\n`;
  }
  return { wire: `${wire}0\r\n\r\n`, payload };
}

describe('a chunked body', () => {
  const { wire, payload } = encode([1, 23, 24, 25, 26, 100, 5000, 3, 0x1234]);

  test('is put together at the start of the buffer it came in', () => {
    const bytes = latin1(`${wire}GET / HTTP/1.1`);
    const decoder = new ChunkedDecoder();
    expect(decoder.decode(bytes, 0, bytes.length, 0)).toBe(1);
    expect(bytes.toString('latin1', 0, decoder.written)).toBe(payload);
    expect(decoder.consumed).toBe(wire.length);
    expect(bytes.toString('latin1', decoder.consumed)).toBe('GET / HTTP/1.1');
  });

  test.each([
    1, 2, 3, 7, 64, 999, 5001,
  ])('may come %i bytes at a time, into shared memory', (step) => {
    const bytes = Buffer.from(new SharedArrayBuffer(wire.length + 200));
    bytes.write(wire, 150, 'latin1');
    const decoder = new ChunkedDecoder();
    let result = 0;
    let consumed = 150;
    let written = 90;
    while (result === 0) {
      const to = Math.min(150 + wire.length, consumed + step);
      result = decoder.decode(bytes, consumed, to, written);
      expect(decoder.consumed).toBe(to);
      expect(decoder.written).toBeLessThanOrEqual(decoder.consumed);
      consumed = decoder.consumed;
      written = decoder.written;
    }
    expect(result).toBe(1);
    expect(bytes.toString('latin1', 90, written)).toBe(payload);
  });

  test('goes on in another decoder, given three numbers', () => {
    const text =
      '5;a="b\\"c";d\r\nhello\r\n1f\r\nxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n0\r\nT: v\r\n\r\n';
    for (let cut = 0; cut < text.length; cut++) {
      const bytes = latin1(text);
      const first = new ChunkedDecoder();
      expect(first.decode(bytes, 0, cut, 0)).toBe(0);
      const second = new ChunkedDecoder();
      // As they go through a connection slot.
      const slot = Int32Array.of(first.phase, first.remaining, first.trailerBytes);
      [second.phase, second.remaining, second.trailerBytes] = slot;
      expect(second.decode(bytes, cut, bytes.length, first.written)).toBe(1);
      expect(bytes.toString('latin1', 0, second.written)).toBe(`hello${'x'.repeat(31)}`);
    }
  });

  test('has its trailers behind its payload, however often it was moved on', () => {
    const section = 'A: 1\r\nBc:  two \r\n\r\n';
    const text = `5\r\nhello\r\n3;x\r\nyou\r\n0;y\r\n${section}GET /`;
    for (let cut = 0; cut < text.length - 'GET /'.length; cut++) {
      const bytes = latin1(text);
      const first = new ChunkedDecoder();
      expect(first.decode(bytes, 0, cut, 0)).toBe(0);
      // As a connection buffer is kept: the rest comes right behind what was decoded.
      const kept = first.written + first.trailerLength;
      bytes.copyWithin(kept, cut);
      const second = new ChunkedDecoder();
      Object.assign(second, {
        phase: first.phase,
        remaining: first.remaining,
        trailerBytes: first.trailerBytes,
      });
      const end = bytes.length - (cut - kept);
      expect(second.decode(bytes, kept, end, first.written)).toBe(1);
      const { written, trailerLength, consumed } = second;
      expect(bytes.toString('latin1', 0, written)).toBe('helloyou');
      expect(bytes.toString('latin1', written, written + trailerLength)).toBe(section);
      expect(bytes.toString('latin1', consumed, end)).toBe('GET /');
    }
  });

  test('may have a chunk of more than an int32 holds', () => {
    const decoder = new ChunkedDecoder();
    const bytes = latin1('1fffffffffffff\r\nabc');
    expect(decoder.decode(bytes, 0, bytes.length, 0)).toBe(0);
    expect(decoder.remaining).toBe(Number.MAX_SAFE_INTEGER - 3);
    expect(bytes.toString('latin1', 0, decoder.written)).toBe('abc');
  });

  test('touches nothing outside its range', () => {
    const bytes = latin1(`before${wire}behind`);
    const decoder = new ChunkedDecoder();
    expect(decoder.decode(bytes, 6, 6 + wire.length, 6)).toBe(1);
    expect(bytes.toString('latin1', 0, 6)).toBe('before');
    expect(bytes.toString('latin1', 6 + wire.length)).toBe('behind');
  });

  test('that is complete stays complete, and reset begins another', () => {
    const decoder = new ChunkedDecoder();
    const bytes = latin1('0\r\n\r\n2\r\nok\r\n0\r\n\r\n');
    expect(decoder.decode(bytes, 0, bytes.length, 0)).toBe(1);
    expect(decoder.consumed).toBe(5);
    expect(decoder.decode(bytes, 5, bytes.length, 0)).toBe(1);
    expect(decoder.consumed).toBe(5);
    decoder.reset();
    expect(decoder.decode(bytes, 5, bytes.length, 0)).toBe(1);
    expect(bytes.toString('latin1', 0, decoder.written)).toBe('ok');
  });
});

describe('a refusal', () => {
  test('names its reason, lasts, and leaves the payload before it valid', () => {
    const decoder = new ChunkedDecoder();
    const bytes = latin1('2\r\nok\r\nzzz');
    expect(decoder.decode(bytes, 0, bytes.length, 0)).toBe(-400);
    expect(decoder.error).toBe('invalid-chunk-size');
    expect(decoder.consumed).toBe(7);
    expect(bytes.toString('latin1', 0, decoder.written)).toBe('ok');
    expect(decoder.decode(latin1('0\r\n\r\n'), 0, 5, 0)).toBe(-400);
    const moved = new ChunkedDecoder();
    moved.phase = decoder.phase;
    expect(moved.decode(latin1('0\r\n\r\n'), 0, 5, 0)).toBe(-400);
    expect(moved.error).not.toBe('');
  });

  test('comes with the byte that earns it, not with the end of its line', () => {
    const refusedAt = (text: string, decoder = new ChunkedDecoder()) => {
      const bytes = latin1(text);
      decoder.decode(bytes, 0, bytes.length, 0);
      return decoder.phase === CHUNKED_PHASE.refused ? [decoder.consumed, decoder.error] : null;
    };
    expect(refusedAt('20000000000000')).toEqual([13, 'chunk-size-too-large']);
    expect(refusedAt(`1;${'x'.repeat(1023)}`)).toBeNull();
    expect(refusedAt(`1;${'x'.repeat(1024)}`)).toEqual([1025, 'chunk-extension-too-large']);
    expect(refusedAt(`0\r\nx:${'y'.repeat(4094)}`)).toBeNull();
    expect(refusedAt(`0\r\nx:${'y'.repeat(4095)}`)).toEqual([4099, 'trailers-too-large']);
    expect(refusedAt('1;abc', new ChunkedDecoder(3))).toEqual([4, 'chunk-extension-too-large']);
    expect(refusedAt('0\r\na:b\r\nc', new ChunkedDecoder(3, 5))).toEqual([8, 'trailers-too-large']);
  });

  test('is what every byte gets that is no digit, and only that', () => {
    for (let byte = 0; byte < 256; byte++) {
      const decoder = new ChunkedDecoder();
      const digit = /[0-9a-fA-F]/.test(String.fromCharCode(byte));
      expect(decoder.decode(Uint8Array.of(byte), 0, 1, 0)).toBe(digit ? 0 : -400);
    }
  });
});
