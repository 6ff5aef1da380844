/**
 * Request heads made from the grammar, and damaged: each part is mostly right and sometimes rare or wrong.
 */
import { pick, type Random } from '../random.ts';

const METHODS = [
  'GET',
  'GET',
  'GET',
  'POST',
  'PUT',
  'HEAD',
  'OPTIONS',
  'CONNECT',
  'M-SEARCH',
  'get',
];
const METHODS_RARE = ['X'.repeat(32), 'X'.repeat(33), 'VERSION-CONTROL', 'G', 'PRI', '', 'GE(T'];
const TARGETS = ['/', '/', '/a', '/index.html?a=1&b[]=2', '*', 'http://h/', '/%zz|^"{}'];
const TARGETS_RARE = [
  'http://h',
  'HTTPS://[::1]:8?q',
  'http:///x',
  'http://u@h/',
  'ftp://h/',
  '/#f',
  '',
];
const VERSIONS = ['HTTP/1.1', 'HTTP/1.1', 'HTTP/1.1', 'HTTP/1.1', 'HTTP/1.0', 'HTTP/1.0'];
const VERSIONS_RARE = [
  'HTTP/2.0',
  'HTTP/0.9',
  'HTTP/1.2',
  'http/1.1',
  'HTTP/11',
  'HTTPS/1.1',
  'HTTP/1.10',
  '',
];
const NAMES = [
  'Host',
  'Content-Length',
  'Transfer-Encoding',
  'Connection',
  'Expect',
  'Upgrade',
  'Accept',
  'X',
];
const HOSTS = [
  'a',
  '',
  'example.com:8080',
  '[::1]',
  '[1:2::3.4.5.6]:1',
  'a:',
  'x%41y',
  'h_1',
  "!$&'()",
];
const HOSTS_RARE = [
  'a b',
  'a/b',
  'u@h',
  '[::1',
  '[1::2::3]',
  '[1:2:3:4:5:6:7:8:9]',
  'a:65536',
  'a:1x',
  ':80',
  '%4',
  'a%g0',
  '[v1.x:y]',
  '[vx.]',
  '[::1.2.3.256]',
  '[::01.2.3.4]',
  '[1:2:3:4:5:6:7::]',
  '[1:2:3:4:5:6:7:8]',
  'a,b',
  'é',
];
const LENGTHS = ['0', '5', '42', '007', '9007199254740991', '00000000000000000000001'];
const LENGTHS_RARE = [
  '9007199254740992',
  '1e3',
  '+1',
  '-1',
  '',
  '5, 5',
  '5,5',
  '0x5',
  '5 5',
  '99999999999999999999',
];
const CODINGS = ['chunked', 'chunked', 'CHUNKED', 'Chunked', 'gzip', 'gzip, chunked', 'identity'];
const CODINGS_RARE = [
  'chunked, chunked',
  'chunked, gzip',
  '',
  ',chunked',
  'chunked;q=1',
  'xchunked',
  '"chunked"',
  'chunked,',
  'chu nked',
];
const OPTIONS = [
  'close',
  'keep-alive',
  'Keep-Alive',
  'upgrade',
  'close, upgrade',
  'Upgrade,keep-alive',
  ' , foo ,\tclose',
  '',
  'closed',
  'x close',
];
const EXPECTATIONS = ['100-continue', '100-Continue', '200-ok', '', '100-continue, 100-continue'];
const PLAIN_VALUES = [
  'x',
  '',
  ' ',
  'text/html;q=0.8',
  '\xe9\xff~',
  'a\tb',
  'Mozilla/5.0 (X11; Linux x86_64)\t\tAppleWebKit/537.36 \xff~\xff\x80 end',
  'some value with words in it',
  '\x80',
];
const JUNK = [
  '\r',
  '\n',
  '\r\n',
  ' ',
  '\t',
  '\0',
  '\x7f',
  '\xff',
  '\xa0',
  '\x01',
  ':',
  ',',
  '#',
  '%',
  '\x1f',
  '~',
  '\x0b',
  '"',
  '-',
  '\x8d',
  '\x2d',
];

function valueFor(random: Random, name: string): string {
  const rare = random(8) === 0;
  switch (name) {
    case 'Host':
      return pick(random, rare ? HOSTS_RARE : HOSTS);
    case 'Content-Length':
      return pick(random, rare ? LENGTHS_RARE : LENGTHS);
    case 'Transfer-Encoding':
      return pick(random, rare ? CODINGS_RARE : CODINGS);
    case 'Connection':
      return pick(random, OPTIONS);
    case 'Expect':
      return pick(random, EXPECTATIONS);
    case 'Upgrade':
      return pick(random, ['websocket', 'h2c', '']);
    default:
      return pick(random, PLAIN_VALUES);
  }
}

function changeCase(random: Random, text: string): string {
  const way = random(10);
  if (way === 0) return text.toUpperCase();
  if (way === 1) return text.toLowerCase();
  return text;
}

export function makeHead(random: Random): string {
  const rare = () => random(12) === 0;
  const method = pick(random, rare() ? METHODS_RARE : METHODS);
  let target = pick(random, rare() ? TARGETS_RARE : TARGETS);
  // Mostly a form that suits the method.
  if (method === 'CONNECT' && !rare())
    target = pick(random, ['a.b:443', '[::1]:0', 'a:', 'a:65535']);
  else if (target === '*' && !rare()) target = '/';
  if (method === 'OPTIONS' && random(3) === 0) target = '*';
  const line = [method, target, pick(random, rare() ? VERSIONS_RARE : VERSIONS)].join(' ');
  const lines = [line];
  if (random(6) !== 0) lines.push(`Host: ${valueFor(random, 'Host')}`);
  for (let n = random(5); n > 0; n--) {
    const name = random(10) === 0 ? `x${'-long'.repeat(random(9))}` : pick(random, NAMES);
    // Drawn again for Host, so that most heads still have one.
    const drawn = name === 'Host' && random(4) !== 0 ? 'Accept' : name;
    const space = pick(random, ['', ' ', ' ', ' ', '  ', '\t', ' \t ']);
    const behind = random(6) === 0 ? pick(random, [' ', '\t', ' \t']) : '';
    lines.push(`${changeCase(random, drawn)}:${space}${valueFor(random, drawn)}${behind}`);
  }
  const body = pick(random, ['', '', 'hello', '\r\n', 'GET / HTTP/1.1\r\n\r\n']);
  return `${random(20) === 0 ? '\r\n' : ''}${lines.join('\r\n')}\r\n\r\n${body}`;
}

/** The head with something wrong with it, such as a line twice or another line end. */
export function damageHead(random: Random, head: string): string {
  const at = random(head.length);
  const to = at + 1 + random(3);
  switch (random(8)) {
    case 0:
      return head.slice(0, at) + pick(random, JUNK) + head.slice(at);
    case 1:
      return head.slice(0, at) + pick(random, JUNK) + head.slice(at + 1);
    case 2:
      return head.slice(0, at) + head.slice(to);
    case 3:
      return head.slice(0, at) + head.slice(at, to) + head.slice(at);
    case 4:
      return head.replace(
        '\r\n',
        pick(random, ['\n', '\r', '\r\r\n', '\n\r', '\r\n ', '\r\n\t', ' \r\n']),
      );
    case 5: {
      // The same line once more: duplicated Host, Content-Length, Transfer-Encoding ...
      const lines = head.split('\r\n');
      const n = random(lines.length);
      lines.splice(random(lines.length), 0, lines[n]);
      return lines.join('\r\n');
    }
    case 6:
      return head.slice(0, at) + 'a'.repeat(random(60)) + head.slice(at);
    default:
      return head.slice(0, at) + String.fromCharCode(random(256)) + head.slice(at + 1);
  }
}
