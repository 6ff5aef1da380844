/**
 * Validators and preconditions (RFC 9110, sections 8.8 and 13).
 *
 * Role: entity tags, Last-Modified, which of 200, 304 and 412 a request asks for, and If-Range.
 * The `fresh` package is not enough for it: it knows no If-Match, If-Unmodified-Since and If-Range,
 * splits tags at commas within them, and reads dates by `Date.parse`.
 * Thread: any; pure functions.
 * May not: touch the file system.
 */
import { parseHttpDate } from './http-date.ts';

/** What the validators are made of. */
export interface Version {
  /** Bytes. */
  readonly size: number;
  /** Milliseconds since the epoch, with a fraction. */
  readonly mtimeMs: number;
}

export interface Validators {
  /** As sent, with `W/` where it is weak. */
  readonly etag: string;
  /** As sent. */
  readonly lastModified: string;
  /** Seconds since the epoch. */
  readonly modifiedSeconds: number;
}

/** The fields that make a request conditional, null where absent. */
export interface Conditions {
  readonly ifMatch: string | null;
  readonly ifNoneMatch: string | null;
  readonly ifModifiedSince: string | null;
  readonly ifUnmodifiedSince: string | null;
}

/**
 * A file that changed less than this ago may change again without its time changing, as the clock of
 * a file system is coarse. Apache's bound.
 */
const SETTLED_MS = 1_000;

/** One entity tag of a list and what stands before it (section 5.6.1: empty elements are allowed). */
const NEXT_TAG = /[\t ,]*((?:W\/)?"[\x21\x23-\x7e\x80-\xff]*")[\t ]*(?=,|$)/y;

/** Whether size and time of a file tell one version from the next at `nowMs`. */
export function isSettled(version: Version, nowMs: number): boolean {
  return Math.abs(nowMs - version.mtimeMs) >= SETTLED_MS;
}

/**
 * @param coding names an encoded form, which has to have a tag of its own (section 8.8.3); '' for none
 * @param nowMs Last-Modified is never later than that (section 8.8.2.1)
 */
export function validatorsOf(version: Version, coding: string, nowMs: number): Validators {
  const micros = Math.trunc(version.mtimeMs * 1000);
  const suffix = coding === '' ? '' : `-${coding}`;
  const tag = `"${version.size.toString(16)}-${micros.toString(16)}${suffix}"`;
  return {
    etag: isSettled(version, nowMs) ? tag : `W/${tag}`,
    lastModified: new Date(Math.min(version.mtimeMs, nowMs)).toUTCString(),
    modifiedSeconds: Math.floor(version.mtimeMs / 1000),
  };
}

/** The outcome of section 13.2.2 for GET and HEAD; 0: go on. If-Range is not part of it. */
export function evaluate(
  conditions: Conditions,
  current: Validators,
  nowMs: number,
): 0 | 304 | 412 {
  const { ifMatch, ifNoneMatch, ifModifiedSince, ifUnmodifiedSince } = conditions;
  if (ifMatch !== null) {
    if (!listMatches(ifMatch, current.etag, strongMatch)) return 412;
  } else if (ifUnmodifiedSince !== null) {
    // What is no date is no condition (section 13.1.4); so are comparisons with NaN.
    if (current.modifiedSeconds > parseHttpDate(ifUnmodifiedSince, nowMs)) return 412;
  }
  if (ifNoneMatch !== null) {
    if (listMatches(ifNoneMatch, current.etag, weakMatch)) return 304;
  } else if (ifModifiedSince !== null) {
    if (current.modifiedSeconds <= parseHttpDate(ifModifiedSince, nowMs)) return 304;
  }
  return 0;
}

/**
 * Whether If-Range allows the range: the same entity tag, strongly compared, or exactly the date of
 * Last-Modified where that is a strong validator by now (sections 13.1.5 and 8.8.2.2).
 */
export function rangeIsCurrent(ifRange: string, current: Validators, nowMs: number): boolean {
  if (ifRange.startsWith('"') || ifRange.startsWith('W/')) {
    return strongMatch(ifRange, current.etag);
  }
  return (
    parseHttpDate(ifRange, nowMs) === current.modifiedSeconds &&
    nowMs - current.modifiedSeconds * 1000 >= 2 * SETTLED_MS
  );
}

type Match = (one: string, other: string) => boolean;

/** Section 8.8.3.2. */
const strongMatch: Match = (one, other) => one === other && !one.startsWith('W/');
const weakMatch: Match = (one, other) => opaque(one) === opaque(other);
const opaque = (tag: string): string => (tag.startsWith('W/') ? tag.slice(2) : tag);

function listMatches(list: string, current: string, match: Match): boolean {
  if (match(list, current) || list === '*') return true;
  NEXT_TAG.lastIndex = 0;
  for (;;) {
    const found = NEXT_TAG.exec(list);
    if (found === null) return false;
    if (match(found[1], current)) return true;
  }
}
