/**
 * What a file is answered with: status, header fields and body.
 *
 * Role: validators, conditional and range requests (RFC 9110, sections 13 and 14) for files that
 * handlers send; the rules themselves are those of static files.
 * Thread: any; reads nothing but what it is given.
 * May not: send.
 */
import { evaluate, rangeIsCurrent, type Validators, validatorsOf } from '../static/conditional.ts';
import { parseHttpDate } from '../static/http-date.ts';
import { contentTypeOf } from '../static/mime.ts';
import { layOut } from '../static/multipart.ts';
import { contentRange, parseRange } from '../static/range.ts';
import { MESSAGES, TEXT } from '../static/refusal.ts';
import { FileBody } from './file-body.ts';
import type { OpenFile } from './open-file.ts';

/** The value of a field, by its name in lower case; null where it is absent. */
export type FieldReader = (name: string) => string | null;

/** The request, as far as it asks for less than the whole file. */
export interface Asked {
  readonly method: string;
  readonly field: FieldReader;
}

/** The part of a file that is the whole of a response, bytes. */
export interface Slice {
  readonly offset: number;
  readonly length: number;
}

export interface FileAnswer {
  readonly status: number;
  /** Name in lower case, value ...: to be added to what the caller has given. */
  readonly fields: readonly string[];
  /** Names in lower case: what of the caller's is not to be sent. */
  readonly without: ReadonlySet<string>;
  /** Holds the file, which is released where there is none. */
  readonly body: FileBody | string | null;
}

/** How the connection frames a message is its own affair, and whoever sends the file knows the length. */
const FRAMING = ['content-length', 'transfer-encoding', 'trailer'];
const CONTENT = [
  'content-type',
  'content-encoding',
  'content-language',
  'content-disposition',
  'content-range',
  'content-digest',
  'repr-digest',
  'accept-ranges',
];
const WHOLE: ReadonlySet<string> = new Set([...FRAMING, 'content-type', 'accept-ranges']);
const PART: ReadonlySet<string> = new Set([...WHOLE, 'content-range']);
/** RFC 9110, section 15.4.5: nothing that describes the content. */
const NOT_MODIFIED: ReadonlySet<string> = new Set([...FRAMING, ...CONTENT]);
/** What was said of the file does not hold for the sentence that is sent instead. */
const REFUSED: ReadonlySet<string> = new Set([
  ...FRAMING,
  ...CONTENT,
  'etag',
  'last-modified',
  'cache-control',
  'expires',
]);

/** The answer where there is no file to send. */
export function refusal(status: number, more: readonly string[] = []): FileAnswer {
  const fields = [TEXT[0].toLowerCase(), TEXT[1], ...more];
  return { status, fields, without: REFUSED, body: MESSAGES[status] ?? '' };
}

/**
 * Takes the caller's part in the file over.
 * @param given fields of the caller, which stand: its ETag and Last-Modified are what conditions are
 *   held against
 * @param status conditions and ranges are heeded for 200 alone (RFC 9110, section 13.2.1)
 * @param asked null: the request makes no difference
 * @param severalRanges false: a request for more than one range gets the whole (section 14.2)
 * @param nowMs milliseconds since the epoch
 */
export function answerFor(
  file: OpenFile,
  slice: Slice,
  given: FieldReader,
  status: number,
  asked: Asked | null,
  severalRanges: boolean,
  nowMs: number,
): FileAnswer {
  const validators = validatorsFor(file, slice, given, nowMs);
  const described: string[] = [];
  if (given('etag') === null) described.push('etag', validators.etag);
  if (given('last-modified') === null) described.push('last-modified', validators.lastModified);
  if (status === 200 && asked !== null && (asked.method === 'GET' || asked.method === 'HEAD')) {
    const outcome = precondition(asked, validators, nowMs);
    if (outcome !== 0) file.release();
    if (outcome === 304) {
      return { status: 304, fields: described, without: NOT_MODIFIED, body: null };
    }
    if (outcome === 412) return refusal(412);
    const part = partOf(file, slice, given, asked, validators, severalRanges, nowMs);
    if (part !== null) {
      if (part.status === 416) file.release();
      return part.status === 416 ? part : { ...part, fields: [...part.fields, ...described] };
    }
  }
  const fields = ['content-type', typeOf(file, given), ...described];
  if (status === 200) fields.push('accept-ranges', 'bytes');
  const body = new FileBody(file, slice.offset, slice.length);
  return { status, fields, without: WHOLE, body };
}

const typeOf = (file: OpenFile, given: FieldReader): string =>
  given('content-type') ?? contentTypeOf(file.name);

function validatorsFor(
  file: OpenFile,
  { offset, length }: Slice,
  given: FieldReader,
  nowMs: number,
): Validators {
  const { stats } = file;
  // Part of a file is another representation than the whole, so it has a tag of its own.
  const name = offset === 0 && length === stats.size ? '' : `${offset}-${length}`;
  const own = validatorsOf(stats, name, nowMs);
  const modified = given('last-modified');
  return {
    etag: given('etag') ?? own.etag,
    lastModified: modified ?? own.lastModified,
    modifiedSeconds: modified === null ? own.modifiedSeconds : parseHttpDate(modified, nowMs),
  };
}

function precondition({ field }: Asked, validators: Validators, nowMs: number): 0 | 304 | 412 {
  const conditions = {
    ifMatch: field('if-match'),
    ifNoneMatch: field('if-none-match'),
    ifModifiedSince: field('if-modified-since'),
    ifUnmodifiedSince: field('if-unmodified-since'),
  };
  return evaluate(conditions, validators, nowMs);
}

/** The answer to a range request, null where the whole is to be sent. */
function partOf(
  file: OpenFile,
  slice: Slice,
  given: FieldReader,
  asked: Asked,
  validators: Validators,
  severalRanges: boolean,
  nowMs: number,
): FileAnswer | null {
  const wanted = asked.method === 'GET' ? asked.field('range') : null;
  if (wanted === null) return null;
  const ifRange = asked.field('if-range');
  if (ifRange !== null && !rangeIsCurrent(ifRange, validators, nowMs)) return null;
  const ranges = parseRange(wanted, slice.length);
  if (ranges === null || (ranges.length > 1 && !severalRanges)) return null;
  if (ranges.length === 0) return refusal(416, ['content-range', `bytes */${slice.length}`]);
  const type = typeOf(file, given);
  if (ranges.length === 1) {
    const [{ offset, length }] = ranges;
    return {
      status: 206,
      fields: ['content-type', type, 'content-range', contentRange(ranges[0], slice.length)],
      without: PART,
      body: new FileBody(file, slice.offset + offset, length),
    };
  }
  const parts = layOut(ranges, slice.length, type);
  const placed = parts.ranges.map(({ offset, length }) => ({
    offset: slice.offset + offset,
    length,
  }));
  return {
    status: 206,
    fields: ['content-type', parts.contentType],
    without: PART,
    body: new FileBody(file, 0, 0, { ...parts, ranges: placed }),
  };
}

/** The caller's fields with those of the answer; names of the caller as they were written. */
export function merged(given: readonly string[], { fields, without }: FileAnswer): string[] {
  const list: string[] = [];
  for (let i = 0; i < given.length; i += 2) {
    if (!without.has(given[i].toLowerCase())) list.push(given[i], given[i + 1]);
  }
  list.push(...fields);
  return list;
}

/** Looks fields up in a flat list, whatever the case of its names. */
export function readerOf(list: readonly string[]): FieldReader {
  return (name) => {
    for (let i = 0; i < list.length; i += 2) {
      if (list[i].toLowerCase() === name) return list[i + 1];
    }
    return null;
  };
}
