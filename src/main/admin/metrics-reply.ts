/**
 * What /metrics answers: format, names and coding as the client asks for them.
 *
 * Role: content negotiation around the text. Compresses on this thread and at once: the thread pool may
 * be full of the application's work, and the text is small.
 * Thread: the admin thread. May not: keep anything between two scrapes.
 */
import type { IncomingHttpHeaders } from 'node:http';
import { constants, gzipSync } from 'node:zlib';
import { formatFor, type Metrics } from '../../scoreboard/metrics.ts';
import type { StatusFigures } from '../../scoreboard/status-auto.ts';
import type { Reply } from './reply.ts';

/** Less than this fits into one packet anyway. */
const COMPRESS_FROM_BYTES = 1_400;
/** Text of metrics repeats itself; more effort takes several times as long and saves little. */
const LEVEL = constants.Z_BEST_SPEED;

/**
 * One scrape. `?compat=apache` adds the names of apache_exporter; another value is an error of the
 * client's, 400.
 */
export async function metricsReply(
  metrics: Metrics,
  query: URLSearchParams,
  headers: IncomingHttpHeaders,
  figures: () => StatusFigures,
): Promise<Reply> {
  const compat = query.get('compat');
  if (compat !== null && compat !== 'apache') {
    const body = "compat: 'apache' is the only value there is\n";
    return { status: 400, type: 'text/plain; charset=utf-8', body, headers: {} };
  }
  const format = formatFor(headers.accept);
  const text = await metrics.text({ format, apache: compat === null ? null : figures });
  const type = metrics.contentType(format);
  const vary = { Vary: 'Accept, Accept-Encoding' };
  if (text.length < COMPRESS_FROM_BYTES || !acceptsGzip(headers['accept-encoding'])) {
    return { status: 200, type, body: text, headers: vary };
  }
  const body = gzipSync(text, { level: LEVEL });
  return { status: 200, type, body, headers: { ...vary, 'Content-Encoding': 'gzip' } };
}

/** RFC 9110, 12.5.3: `gzip`, its old name, or any coding, with a weight above 0. */
export function acceptsGzip(header: string | string[] | undefined): boolean {
  let any = false;
  for (const part of String(header ?? '')
    .toLowerCase()
    .split(',')) {
    const [coding = '', ...parameters] = part.split(';').map((piece) => piece.trim());
    const refused = parameters.some((parameter) => /^q=0(\.0*)?$/.test(parameter));
    if (coding === 'gzip' || coding === 'x-gzip') return !refused;
    if (coding === '*') any = !refused;
  }
  return any;
}
