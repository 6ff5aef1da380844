/** An upstream's response, however it is cut into pieces. */
import { describe, expect, it } from 'vitest';
import { ResponseHeadCache } from '../../../src/workers/reverse-proxy/head-caches.ts';
import {
  type ResponseCourse,
  ResponseIntake,
} from '../../../src/workers/reverse-proxy/response-intake.ts';

/** As the loop's memory: what stood there is gone with the next piece. */
const memory = Buffer.alloc(64 * 1024);

function read(pieces: readonly string[], method = 'GET'): string[] {
  const told: string[] = [];
  let body = '';
  const course: ResponseCourse = {
    interim: ({ head }) => told.push(`interim ${head.status}`),
    whole: ({ head }, bytes, isClean) =>
      told.push(`whole ${head.status} ${bytes === null ? '-' : bytes.toString()} ${isClean}`),
    begins: ({ head }, length) => told.push(`begins ${head.status} ${length}`),
    piece: (bytes) => {
      body += Buffer.from(bytes).toString('latin1');
    },
    complete: (isClean) => told.push(`complete ${body} ${isClean}`),
    invalid: (reason) => {
      told.push(reason);
      intake.stop();
    },
  };
  const intake = new ResponseIntake(new ResponseHeadCache(), method, course);
  for (const piece of pieces) {
    memory.fill('#');
    intake.take(memory, memory.write(piece, 'latin1'));
  }
  return told;
}

const atEveryByte = (text: string): readonly (readonly string[])[] => [
  [...text],
  ...Array.from({ length: text.length - 1 }, (_, at) => [
    text.slice(0, at + 1),
    text.slice(at + 1),
  ]),
];

describe('a response in pieces', () => {
  it('in chunks with a trailer section is the same wherever it is cut', () => {
    const head = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n';
    const text = `${head}5;a=b\r\nhello\r\n6\r\n world\r\n0\r\nA: one\r\nBcd: two, three\r\n\r\n`;
    for (const pieces of atEveryByte(text)) {
      expect(read(pieces), JSON.stringify(pieces)).toEqual([
        'begins 200 -1',
        'complete hello world true',
      ]);
    }
    for (const pieces of atEveryByte(`${text}x`).slice(1, -1)) {
      expect(read(pieces).at(-1), JSON.stringify(pieces)).toBe('complete hello world false');
    }
  });

  it('of a length ends there, and says what came behind it', () => {
    const text = `HTTP/1.1 103 Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello`;
    for (const pieces of atEveryByte(text)) {
      const told = read(pieces);
      expect(told[0], JSON.stringify(pieces)).toBe('interim 103');
      expect(told.at(-1), JSON.stringify(pieces)).toMatch(/^(whole 200|complete) hello true$/);
    }
    expect(read([`${text}more`])).toEqual(['interim 103', 'whole 200 hello false']);
  });

  it('without a body has none, whatever its head says', () => {
    expect(read(['HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n'])).toEqual([
      'whole 304 - true',
    ]);
    expect(read(['HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n'], 'HEAD')).toEqual([
      'whole 200 - true',
    ]);
  });

  it.each([
    ['HTTP/1.1 200 OK\r\nA : b\r\n\r\n', 'invalid response (space-before-colon)'],
    ['HTTP/1.1 101 Go\r\nUpgrade: x\r\n\r\n', 'invalid response (unexpected 101)'],
    ['HTTP/1.1 103 Hints\r\n\r\n'.repeat(17), 'too many interim responses'],
  ])('%j is refused: %s', (text, reason) => {
    expect(read([text]).at(-1)).toBe(reason);
  });
});
