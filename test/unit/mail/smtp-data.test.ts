/** Where a mail ends, and where it does not: every way to write its end that some server takes. */
import { describe, expect, it } from 'vitest';
import { type DecoderState, decode, FAULT } from '../../support/mail-parts.ts';

const MAX_LINE_BYTES = 1000;

interface Decoded {
  text: string;
  fault: number;
  ended: boolean;
  /** What came behind the end. */
  rest: string;
}

/** Decodes bytes that come in pieces of these lengths, then the rest at once. */
function decoded(wire: string, lengths: readonly number[] = []): Decoded {
  const state: DecoderState = { at: 0, fault: 0, lineBytes: 0 };
  const bytes = Buffer.from(wire, 'latin1');
  let at = 0;
  let text = '';
  for (const length of [...lengths, bytes.length]) {
    const piece = bytes.subarray(at, Math.min(at + length, bytes.length));
    if (piece.length === 0) continue;
    const { consumed, ended, content } = decode(state, piece, MAX_LINE_BYTES);
    text += content.toString('latin1');
    at += consumed;
    if (ended) return { text, fault: state.fault, ended, rest: bytes.toString('latin1', at) };
  }
  return { text, fault: state.fault, ended: false, rest: '' };
}

const END = '\r\n.\r\n';

describe('a mail that is right', () => {
  it.each([
    ['of one line', 'hello\r\n.\r\n', 'hello\r\n'],
    ['of nothing', '.\r\n', ''],
    ['with a line of one dot', 'a\r\n..\r\nb\r\n.\r\n', 'a\r\n.\r\nb\r\n'],
    ['with dots in front', '..a\r\n...b\r\n.\r\n', '.a\r\n..b\r\n'],
    ['whose client forgot a dot', 'a\r\n.b\r\n.\r\n', 'a\r\nb\r\n'],
    ['with dots elsewhere', 'a.\r\nb.c\r\n.\r\n', 'a.\r\nb.c\r\n'],
    ['with all other bytes', '\0\x01\t\x7f\x80\xff\r\n.\r\n', '\0\x01\t\x7f\x80\xff\r\n'],
  ])('%s', (_name, wire, text) => {
    const whole = { text, fault: FAULT.none, ended: true, rest: 'QUIT\r\n' };
    for (let first = 0; first <= wire.length; first++) {
      expect(decoded(`${wire}QUIT\r\n`, [first])).toEqual(whole);
    }
    expect(decoded(`${wire}QUIT\r\n`, Array(wire.length).fill(1))).toEqual(whole);
  });
});

describe('what is no end of a mail', () => {
  const smuggled = 'MAIL FROM:<admin@bank.example>\r\n';
  const ends = ['\n.\n', '\n.\r\n', '\r\n.\n', '\r.\r', '\r.\r\n', '\r\n.\r', '\r\n\0.\r\n'];
  const more = ['\r\n.\0\r\n', '\n.\r', '\r.\n', '\r\r\n.\r\r\n', '\r\n.\r\r\n', '\r\n.\n\r\n'];
  for (const end of [...ends, ...more]) {
    it(`${JSON.stringify(end)}`, () => {
      const wire = `a${end}${smuggled}b${END}`;
      for (let first = 0; first <= wire.length; first++) {
        const { ended, rest, fault } = decoded(wire, [first]);
        expect({ ended, rest }).toEqual({ ended: true, rest: '' });
        // With a NUL beside the dot it is a line like others.
        expect(fault !== FAULT.none).toBe(!end.includes('\0'));
      }
    });
  }
});

describe('a line', () => {
  const line = (length: number) => `${'x'.repeat(length)}\r\n.\r\n`;
  it('may have 1,000 bytes with its end, and a dot that was put in', () => {
    expect(decoded(line(998)).fault).toBe(FAULT.none);
    expect(decoded(line(998), Array(999).fill(1)).fault).toBe(FAULT.none);
    expect(decoded(`..${line(997)}`).fault).toBe(FAULT.none);
  });
  it('may not have more, however it comes', () => {
    for (const wire of [line(999), line(5000), `ok\r\n${line(999)}`]) {
      expect(decoded(wire)).toMatchObject({ fault: FAULT.longLine, ended: true, rest: '' });
      const bytes = decoded(wire, Array(wire.length).fill(1));
      expect(bytes).toMatchObject({ fault: FAULT.longLine, ended: true, rest: '' });
    }
  });
});

it('is found at the same place however a mail is cut (seed 20261121)', () => {
  let seed = 20261121;
  const random = (below: number) => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return Math.floor((seed / 2 ** 32) * below);
  };
  const alphabet = ['\r', '\n', '\r\n', '.', 'a', '\r\n.', '.\r\n'];
  for (let round = 0; round < 3000; round++) {
    const pieces = Array.from({ length: 2 + random(12) }, () => alphabet[random(7)]);
    const wire = `${pieces.join('')}${END}`;
    const whole = decoded(wire);
    expect(whole.ended).toBe(true);
    const cut = decoded(
      wire,
      Array.from({ length: wire.length }, () => random(4)),
    );
    // What is kept of a mail with a fault is nobody's business.
    const compared = whole.fault === FAULT.none ? whole : { ...whole, text: cut.text };
    expect(cut, JSON.stringify(wire)).toEqual(compared);
    // The only end is the first CR LF . CR LF, or the same at the beginning.
    const first = `\r\n${wire}`.indexOf(END);
    expect(wire.length - whole.rest.length, JSON.stringify(wire)).toBe(first + 3);
  }
});
