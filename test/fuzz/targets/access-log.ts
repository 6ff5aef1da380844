/**
 * Lines of the access log: one line of printable ASCII for each request, from which what the client sent
 * can be read again, whatever it sent.
 */
import { Aborted } from '../../../src/scoreboard/aborted.ts';
import {
  completeLine,
  type LogFormat,
  linePrefix,
  MAX_LINE_BYTES,
  type RequestFacts,
  requestLineParts,
} from '../../../src/workers/access-log/format.ts';
import { draw, once, pick, type Random } from '../random.ts';
import { type FuzzTarget, must } from '../target.ts';

interface LineInput {
  readonly format: LogFormat;
  readonly facts: RequestFacts;
  readonly status: number;
  readonly bodyBytes: number;
  readonly durationMs: number;
  readonly aborted: Aborted;
}

const PIECES = [
  ...[
    '"',
    '\\',
    '\n',
    '\r',
    '\r\n',
    '\0',
    '\x1b[31m',
    '\x7f',
    '\x85',
    '\xff',
    '\xe9',
    ' ',
    '\t',
    '\x0b',
  ],
  ...[
    '\\x0a',
    '\\"',
    '" 200 5\n1.1.1.1 - - [',
    '","status":500,"',
    '{',
    '}',
    'GET /a',
    'a',
    '\u2028',
    '\ud800',
  ],
];
const COMBINED =
  /^(\S+) - - \[([^\]]+)\] "((?:[^"\\]|\\.)*)" (\d{3}|-) (\d+|-)(?: "((?:[^"\\]|\\.)*)" "((?:[^"\\]|\\.)*)")?\n$/;
const LETTERS: Readonly<Record<string, string>> = { b: '\b', t: '\t', n: '\n', v: '\v', r: '\r' };

/** What Apache's escapes mean. */
const unescaped = (text: string): string =>
  text.replace(/\\(?:x([0-9a-f]{2})|(.))/g, (_, code, letter) =>
    code === undefined
      ? (LETTERS[letter] ?? letter)
      : String.fromCharCode(Number.parseInt(code, 16)),
  );
/** What is not latin1 is no byte that came; a question mark stands for it. */
const asBytes = (text: string): string => text.replace(/[^\0-\xff]/g, '?');

/** Whether `read` is `sent`, or its beginning where it was cut. */
const isFrom = (read: string, sent: string): boolean =>
  read === asBytes(sent) || (read.endsWith('...') && asBytes(sent).startsWith(read.slice(0, -3)));

export const accessLog: FuzzTarget<LineInput> = {
  name: 'access-log',
  title: 'a request is one line of the access log, and says what the client sent',
  outcomes: 3,
  kept: [],

  make(random: Random): LineInput {
    const text = () => draw(random, PIECES, once(random, 300) ? 9_000 : random(6));
    const field = () => (once(random, 3) ? null : text());
    const line = once(random, 2)
      ? { method: text() || 'GET', target: text(), protocol: pick(random, ['HTTP/1.1', '']) }
      : requestLineParts(text());
    return {
      format: pick(random, ['common', 'combined', 'json'] as const),
      facts: {
        remoteAddress: pick(random, ['', '192.0.2.7', '2001:db8::7']),
        remotePort: random(65_536),
        time: '21/Nov/2026:09:22:45 +0100',
        ...line,
        referer: field(),
        userAgent: field(),
        host: field(),
        requestId: field(),
        child: random(5) - 1,
        connectionRequests: random(100),
      },
      status: pick(random, [0, 200, 404, 599]),
      bodyBytes: pick(random, [0, 1, Number.MAX_SAFE_INTEGER]),
      durationMs: random(100_000) / 7,
      aborted: pick(random, Object.values(Aborted)),
    };
  },

  check({ format, facts, status, bodyBytes, durationMs, aborted }: LineInput): string {
    const prefix = linePrefix(format, facts);
    const line = completeLine(format, prefix, status, bodyBytes, durationMs, aborted);
    must(
      /^[\x20-\x7e]*\n$/.test(line),
      () => `not one line: ${JSON.stringify(line.slice(0, 300))}`,
    );
    must(line.length <= MAX_LINE_BYTES, () => `${line.length} bytes`);
    const { method, target, protocol, referer, userAgent } = facts;
    if (format === 'json') {
      const read = JSON.parse(line) as Record<string, unknown>;
      for (const name of [
        'method',
        'target',
        'referer',
        'userAgent',
        'host',
        'requestId',
      ] as const) {
        const sent = facts[name];
        const told = read[name];
        const same = sent === null ? told === null : isFrom(String(told), sent);
        must(same, () => `${name}: ${JSON.stringify(told)} for ${JSON.stringify(sent)}`);
      }
      must(read.status === status && Object.keys(read).length === 16, () => line.slice(0, 300));
      return format;
    }
    const match = COMBINED.exec(line);
    must(match !== null, () => `not of its form: ${line.slice(0, 300)}`);
    const sent = `${method} ${target}${protocol === '' ? '' : ' '}${protocol}`;
    must(isFrom(unescaped(match[3]), sent === ' ' ? '-' : sent), () => match[3]);
    for (const [read, value] of [
      [match[6], referer],
      [match[7], userAgent],
    ] as const) {
      const isThere = format === 'combined';
      must((read !== undefined) === isThere, () => 'Referer and User-agent');
      if (isThere) must(isFrom(unescaped(read), value ?? '-'), () => read);
    }
    return format;
  },
};
