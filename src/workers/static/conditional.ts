/**
 * Validators and the conditions a GET may carry (RFC 9110, sections 8.8 and 13).
 *
 * Role: entity tags, dates, and whether a 304 is due.
 * Thread: any.
 * May not: touch the file system.
 */

/** What the validators are made of. */
export interface Version {
  /** Bytes. */
  readonly size: number;
  /** Milliseconds since the epoch, with a fraction. */
  readonly mtimeMs: number;
}

/** RFC 9110, section 5.6.7; the two obsolete forms count as no condition, which is always safe. */
const IMF_FIXDATE = /^[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT$/;

/** A strong entity tag: size and microseconds of the last change. */
export function entityTag(version: Version): string {
  const micros = Math.trunc(version.mtimeMs * 1000);
  return `"${version.size.toString(16)}-${micros.toString(16)}"`;
}

/** As Last-Modified has it, in whole seconds; never in the future (RFC 9110, section 8.8.2.1). */
export function lastModified(version: Version, nowMs: number): string {
  return new Date(Math.min(version.mtimeMs, nowMs)).toUTCString();
}

/**
 * Whether the client already has this version (RFC 9110, section 13.2.2: If-None-Match decides alone
 * where it is present).
 */
export function isNotModified(
  version: Version,
  tag: string,
  ifNoneMatch: string | null,
  ifModifiedSince: string | null,
): boolean {
  if (ifNoneMatch !== null) {
    if (ifNoneMatch.trim() === '*') return true;
    const tags = ifNoneMatch.match(/(?:W\/)?"[^"]*"/g) ?? [];
    // Weak comparison (section 8.8.3.2): the W/ a proxy has put in front does not count.
    return tags.some((candidate) => candidate.replace(/^W\//, '') === tag);
  }
  if (ifModifiedSince === null || !IMF_FIXDATE.test(ifModifiedSince)) return false;
  const since = Date.parse(ifModifiedSince);
  return Math.floor(version.mtimeMs / 1000) * 1000 <= since;
}
