/**
 * From a request-target to names below a folder.
 *
 * Role: decodes and refuses; the file system is asked only about what passes here.
 * Thread: any.
 * May not: touch the file system.
 */

/** Longer paths and names are refused before the kernel sees them (PATH_MAX, NAME_MAX). */
const MAX_PATH_LENGTH = 4096;
const MAX_NAME_BYTES = 255;

/** Holds what is meant to be found by everybody (RFC 8615), so it alone is no dotfile. */
export const WELL_KNOWN = '.well-known';

export interface FilePath {
  /** Decoded names, none of them empty, none beginning with a dot but a first `.well-known`. */
  readonly names: readonly string[];
  /** Whether the path ended with a slash, and so means a folder. */
  readonly isFolder: boolean;
  /** With its question mark; '' where there is none. */
  readonly query: string;
}

/**
 * Reads a request-target in origin-form or absolute-form (RFC 9112, section 3.2).
 * @returns the path, or the status to refuse it with: 400 where it is malformed, 404 where it asks
 *   for something that is never served (dot segments, dotfiles, encoded slashes, backslashes), 414
 */
export function parseTarget(target: string): FilePath | number {
  const rest = target.startsWith('/') ? target : pathOfAbsolute(target);
  if (rest === null) return 400;
  const mark = rest.indexOf('?');
  const path = parsePath(mark < 0 ? rest : rest.slice(0, mark));
  return typeof path === 'number' ? path : { ...path, query: mark < 0 ? '' : rest.slice(mark) };
}

/** The same for a percent-encoded path by itself, in which a question mark is a character. */
export function parsePath(raw: string): Omit<FilePath, 'query'> | number {
  if (raw.length > MAX_PATH_LENGTH) return 414;
  // An encoded slash would become a separator only after the names were checked.
  if (/%2f|%5c|\\/i.test(raw)) return 404;
  let decoded: string;
  try {
    decoded = decodeURIComponent(raw);
  } catch {
    return 400;
  }
  const names = namesOf(decoded);
  return typeof names === 'number' ? names : { names, isFolder: decoded.endsWith('/') };
}

/** The names of a path that is not encoded, or the status to refuse it with. */
export function namesOf(path: string): string[] | number {
  if (path.length > MAX_PATH_LENGTH) return 414;
  if (path.includes('\0')) return 400;
  const names = path.split('/').filter((name) => name !== '');
  for (const [index, name] of names.entries()) {
    if (name.startsWith('.') && !(index === 0 && name === WELL_KNOWN)) return 404;
    if (Buffer.byteLength(name) > MAX_NAME_BYTES) return 404;
  }
  return names;
}

function pathOfAbsolute(target: string): string | null {
  const authority = /^https?:\/\/[^/?#]*/i.exec(target);
  if (authority === null) return null;
  const rest = target.slice(authority[0].length);
  return rest.startsWith('/') ? rest : `/${rest}`;
}

/**
 * Where a folder asked for without its slash is found. Built from the names, never from the target,
 * so that `//other.host` does not become a link to another host.
 */
export function folderLocation(path: FilePath): string {
  return `/${path.names.map(encodeURIComponent).join('/')}/${path.query}`;
}
