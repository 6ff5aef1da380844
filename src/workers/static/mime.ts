/**
 * Content types by file name extension.
 *
 * Role: a table of what web folders hold.
 * Thread: any.
 * May not: look into files.
 */

const TYPES: Readonly<Record<string, string>> = {
  avif: 'image/avif',
  bmp: 'image/bmp',
  css: 'text/css;charset=utf-8',
  csv: 'text/csv;charset=utf-8',
  gif: 'image/gif',
  gz: 'application/gzip',
  htm: 'text/html;charset=utf-8',
  html: 'text/html;charset=utf-8',
  ico: 'image/vnd.microsoft.icon',
  ics: 'text/calendar;charset=utf-8',
  jpeg: 'image/jpeg',
  jpg: 'image/jpeg',
  js: 'text/javascript;charset=utf-8',
  json: 'application/json',
  jsonld: 'application/ld+json',
  m4a: 'audio/mp4',
  map: 'application/json',
  md: 'text/markdown;charset=utf-8',
  mjs: 'text/javascript;charset=utf-8',
  mp3: 'audio/mpeg',
  mp4: 'video/mp4',
  mpeg: 'video/mpeg',
  oga: 'audio/ogg',
  ogg: 'audio/ogg',
  ogv: 'video/ogg',
  opus: 'audio/ogg',
  otf: 'font/otf',
  pdf: 'application/pdf',
  png: 'image/png',
  rss: 'application/rss+xml',
  svg: 'image/svg+xml',
  tar: 'application/x-tar',
  tif: 'image/tiff',
  tiff: 'image/tiff',
  ttf: 'font/ttf',
  txt: 'text/plain;charset=utf-8',
  vtt: 'text/vtt;charset=utf-8',
  wasm: 'application/wasm',
  wav: 'audio/wav',
  weba: 'audio/webm',
  webm: 'video/webm',
  webmanifest: 'application/manifest+json',
  webp: 'image/webp',
  woff: 'font/woff',
  woff2: 'font/woff2',
  xhtml: 'application/xhtml+xml',
  xml: 'application/xml',
  zip: 'application/zip',
};

const types = new Map(Object.entries(TYPES));
const UNKNOWN = 'application/octet-stream';

/** The content type of a file by its name; `application/octet-stream` where it says nothing. */
export function contentTypeOf(fileName: string): string {
  const dot = fileName.lastIndexOf('.');
  return dot < 0 ? UNKNOWN : (types.get(fileName.slice(dot + 1).toLowerCase()) ?? UNKNOWN);
}
