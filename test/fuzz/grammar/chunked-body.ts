/** Chunked bodies made from the grammar, with extensions and trailers, before any damage. */
import { once, pick, type Random } from '../random.ts';

const EXTENSIONS = [
  ...[';a', ';a=b', ';a="b"', ' ; a = b', '\t;a\t=\t"q\\"\\\\ "', ';a;b;c', ';a=""', ';x="\xe9"'],
  ...[
    ' ',
    ';',
    ';a=',
    '=b',
    ';a b',
    ';a="b',
    ';a="\r\n"',
    ';a="b"c',
    ';=b',
    '\n',
    '\r',
    ';a\n',
    ';\r',
  ],
  ...[`;${'x'.repeat(40)}`, `;a="${'y'.repeat(60)}"`, '\0', '\x7f', ';a=b;', ',a', '#'],
];
const SIZES_RARE = [
  ...[
    '',
    '+5',
    '-1',
    '0x5',
    '5_0',
    ' 5',
    '05',
    '00000000000000005',
    '0000000000000005',
    'g',
    '5.',
    '5\t',
  ],
  ...['1fffffffffffff', '20000000000000', 'ffffffffffffffff', '10000000000000000', '5\r', 'A', 'a'],
];
const TRAILERS = [
  ...['X: y', 'Content-Length: 5', 'Transfer-Encoding: chunked', 'Host: b', 'X:', 'x:\t\xff'],
  ...['X', ': y', ' fold', 'GET / HTTP/1.1', 'X : y', 'X: \0', `X: ${'z'.repeat(60)}`, 'X: y\n'],
];
const ENDS = ['\r\n', '\r\n', '\r\n', '\r\n', '\r\n', '\r\n', '\n', '\r', '', '\r\r\n', '\n\r'];

/** Payload that looks like framing, like a request, or like nothing. */
const PAYLOADS = [
  'hello',
  '0\r\n\r\n',
  'GET / HTTP/1.1\r\n\r\n',
  '\r\n',
  'x',
  '\xff\0',
  'y'.repeat(30),
];

export function makeChunkedBody(random: Random): string {
  const rare = () => once(random, 14);
  const lineEnd = () => (rare() ? pick(random, ENDS) : '\r\n');
  const extensions = () =>
    once(random, 4)
      ? pick(random, EXTENSIONS) + (once(random, 3) ? pick(random, EXTENSIONS) : '')
      : '';
  let text = '';
  for (let n = random(4); n > 0; n--) {
    const payload = pick(random, PAYLOADS);
    const right = payload.length.toString(16);
    const size = rare() ? pick(random, SIZES_RARE) : once(random, 3) ? right.toUpperCase() : right;
    text += `${size}${extensions()}${lineEnd()}${payload}${lineEnd()}`;
  }
  text += `${pick(random, ['0', '0', '0', '00', '0000000000000000'])}${extensions()}${lineEnd()}`;
  for (let n = once(random, 3) ? random(3) : 0; n > 0; n--)
    text += pick(random, TRAILERS) + lineEnd();
  return text + lineEnd();
}
