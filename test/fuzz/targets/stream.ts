/**
 * A connection's byte stream, several requests with their bodies: the same trace however it is cut, and
 * the one that the plain readers give. This is where smuggling would show: a body that ends elsewhere.
 */
import { trace } from '../../conformance/cases/trace.ts';
import { plainChunked } from '../../support/plain-chunked-body.ts';
import { type PlainRequest, plainParse } from '../../support/plain-request-parser.ts';
import { makeChunkedBody } from '../grammar/chunked-body.ts';
import { cutsOf, damage, once, pick, type Random } from '../random.ts';
import { type FuzzTarget, must } from '../target.ts';

interface StreamInput {
  /** One character a byte. */
  readonly text: string;
  readonly cuts: readonly number[];
}

const LIMITS = { requestLine: 200, fieldSize: 200, fields: 12 };
const BODY_LIMITS = { extension: 64, trailer: 64, fields: LIMITS.fields };

const FRAMING = [
  ...['Content-Length: 5', 'Content-Length: 0', 'Content-Length: 43', 'Transfer-Encoding: chunked'],
  ...[
    'Transfer-Encoding: chunked',
    'Transfer-Encoding: chunked',
    'Content-Length: 5\r\nContent-Length: 5',
  ],
  ...[
    'Content-Length: 5\r\nTransfer-Encoding: chunked',
    'Transfer-Encoding: gzip, chunked',
    'X: y',
  ],
  ...[
    'Transfer-Encoding : chunked',
    'Transfer-Encoding:\x0bchunked',
    'Connection: close',
    'Expect: 100-continue',
  ],
  ...[
    'Connection: upgrade\r\nUpgrade: h2c',
    'Content-Length: +5',
    'Transfer-Encoding: chunked\r\n X: y',
  ],
];

function makeMessage(random: Random): string {
  const framing = once(random, 5) ? '' : `${pick(random, FRAMING)}\r\n`;
  const method = pick(random, ['GET', 'POST', 'PUT', 'HEAD']);
  const version = once(random, 12) ? 'HTTP/1.0' : 'HTTP/1.1';
  const head = `${method} /${random(100)} ${version}\r\nHost: h\r\n${framing}\r\n`;
  if (framing.includes('hunked')) return head + makeChunkedBody(random);
  return `${head}${/: 5/.test(framing) ? 'hello' : ''}`;
}

/** What the trace of production code has to be, from the plain readers. */
function plainTrace(text: string): string[] {
  const lines: string[] = [];
  for (let at = 0; at < text.length; ) {
    const rest = text.slice(at);
    const head = plainParse(rest, LIMITS);
    if (head.kind === 'incomplete') return [...lines, 'incomplete head'];
    if (head.kind === 'refused') return [...lines, `refused ${head.status} ${head.error}`];
    lines.push(...headLines(rest, head));
    at += head.end;
    const behind = text.slice(at);
    if (head.upgrade || head.method === 'CONNECT') return [...lines, ...unread(behind.length)];
    if (head.chunked) {
      const body = plainChunked(behind, BODY_LIMITS);
      if (body.payload !== '') lines.push(`payload ${shown(body.payload)}`);
      if (body.kind === 'refused') return [...lines, `refused ${body.status} ${body.error}`];
      if (body.kind === 'incomplete') return [...lines, 'incomplete body'];
      for (const field of body.trailers) lines.push(...trailerLine(field));
      at += body.end;
    } else {
      const length = Math.max(0, head.contentLength);
      const payload = behind.slice(0, length);
      if (payload !== '') lines.push(`payload ${shown(payload)}`);
      if (payload.length < length) return [...lines, 'incomplete body'];
      at += length;
    }
    if (!head.keepAlive) return [...lines, ...unread(text.length - at)];
  }
  return lines;
}

/** None for a field that means nothing behind the content; the grammar makes one of those. */
function trailerLine(field: string): string[] {
  const [, name, value] = /^([^:]*):[ \t]*(.*?)[ \t]*$/s.exec(field) as RegExpExecArray;
  const forbidden = /^(?:content-length|transfer-encoding|host|trailer|te|connection)$/i;
  return forbidden.test(name as string) ? [] : [`trailer ${name}: ${shown(value as string)}`];
}

const unread = (bytes: number): string[] => (bytes === 0 ? [] : [`unread ${bytes} bytes`]);

function headLines(text: string, head: PlainRequest): string[] {
  const part = (from: number, to: number) => text.slice(head.headStart + from, head.headStart + to);
  const lines = [`request ${head.method} ${head.target} HTTP/1.${head.minorVersion}`];
  for (const [index, [nameStart, nameEnd, valueStart, valueEnd]] of head.fields.entries()) {
    const mark = index === head.hostField ? 'host' : 'field';
    lines.push(`${mark} ${part(nameStart, nameEnd)}: ${shown(part(valueStart, valueEnd))}`);
  }
  if (head.contentLength >= 0) lines.push(`content-length ${head.contentLength}`);
  if (head.chunked) lines.push('chunked');
  if (head.expectContinue) lines.push('expects 100-continue');
  if (head.upgrade) lines.push('upgrades');
  if (!head.keepAlive) lines.push('closes');
  return lines;
}

function shown(text: string): string {
  const named: Record<string, string> = { '\r': '\\r', '\n': '\\n', '\t': '\\t' };
  const hex = (c: string) => `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`;
  return `«${text.replace(/[^\x20-\x7e]/g, (c) => named[c] ?? hex(c))}»`;
}

export const stream: FuzzTarget<StreamInput> = {
  name: 'stream',
  title: 'a stream of requests is read alike in any pieces, and as the plain readers read it',
  outcomes: 20,
  kept: [],

  make(random: Random): StreamInput {
    let text = '';
    for (let n = 1 + random(3); n > 0; n--) text += makeMessage(random);
    if (!once(random, 3)) text = damage(random, text);
    text += 'GET /marker HTTP/1.1\r\nHost: h\r\n\r\n';
    return { text, cuts: cutsOf(random, text.length) };
  },

  check({ text, cuts }: StreamInput): string {
    const expected = plainTrace(text);
    const bytes = Buffer.from(text, 'latin1');
    const pieces = [0, ...cuts].map((from, n) => bytes.subarray(from, cuts[n] ?? bytes.length));
    for (const way of [[bytes], pieces]) {
      const lines = trace(way, LIMITS);
      must(
        lines.join('\n') === expected.join('\n'),
        () =>
          `in ${way.length} pieces:\n${lines.join('\n')}\nwhere the plain readers have\n${expected.join('\n')}`,
      );
    }
    const last = expected.at(-1) ?? '';
    return last.startsWith('refused') || last.startsWith('incomplete') ? last : 'read';
  },
};
