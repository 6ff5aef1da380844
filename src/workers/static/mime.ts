/**
 * Content types by file name extension.
 *
 * Role: mrmime's table (the standard part of mime-db), completed by what web folders also hold.
 * Thread: any.
 * May not: look into files.
 */
import { mimes } from 'mrmime';

/**
 * What mrmime leaves out, since it has no vendor types, or says otherwise: a text/xml without charset
 * is ASCII to some readers (RFC 7303, section 3), and no charset could be right for every document.
 */
const MORE: Readonly<Record<string, string>> = {
  '7z': 'application/x-7z-compressed',
  br: 'application/x-brotli',
  cjs: 'text/javascript',
  docx: 'application/vnd.openxmlformats-officedocument.wordprocessingml.document',
  flac: 'audio/flac',
  ico: 'image/vnd.microsoft.icon',
  m3u8: 'application/vnd.apple.mpegurl',
  pptx: 'application/vnd.openxmlformats-officedocument.presentationml.presentation',
  tar: 'application/x-tar',
  xlsx: 'application/vnd.openxmlformats-officedocument.spreadsheetml.sheet',
  xml: 'application/xml',
  zst: 'application/zstd',
};

/** Not mrmime's own look-up, which finds the members of every object in a name like `a.constructor`. */
const types = new Map(Object.entries({ ...mimes, ...MORE }));
const UNKNOWN = 'application/octet-stream';

/** The content type of a file by its name; `application/octet-stream` where it says nothing. */
export function contentTypeOf(fileName: string): string {
  const dot = fileName.lastIndexOf('.');
  if (dot < 0) return UNKNOWN;
  const extension = fileName.slice(dot + 1).toLowerCase();
  const type = types.get(extension) ?? UNKNOWN;
  return type.startsWith('text/') ? `${type};charset=utf-8` : type;
}
