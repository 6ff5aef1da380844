/**
 * Requests for static files: what is asked, what a client gets from this server, and where nginx says
 * something else, on purpose.
 *
 * `{etag}` in a header is the server's own entity tag of the path without Accept-Encoding, `{gzip}`
 * that of its gzip form.
 */

/** The time of every file in the folder, seconds. */
export const MODIFIED_SECONDS = 1_700_000_000;
const MODIFIED = 'Tue, 14 Nov 2023 22:13:20 GMT';
const BEFORE = 'Tue, 14 Nov 2023 22:13:19 GMT';
const AFTER = 'Tue, 14 Nov 2023 22:13:21 GMT';

/** Fields that may differ from nginx's, and why. */
export interface Difference {
  readonly because: string;
  /** `status` covers everything else that follows from it. */
  readonly in: readonly string[];
}

export interface StaticRequest {
  readonly request: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly status: number;
  readonly differs: Difference | null;
}

const ask = (
  request: string,
  status: number,
  headers: Readonly<Record<string, string>> = {},
  differs: Difference | null = null,
): StaticRequest => ({ request, headers, status, differs });
const differs = (because: string, ...fields: string[]): Difference => ({ because, in: fields });

const INVALID_IGNORED = differs(
  'a Range that cannot be read is ignored, as by Apache (RFC 9110, section 14.2: MAY ignore or reject); nginx answers 416',
  'status',
);
const HEAD_IGNORES = differs(
  'Range is defined for GET alone (RFC 9110, section 14.2); nginx heeds it for HEAD, too',
  'status',
);
const NO_DOTS = differs(
  'a path with dot segments comes from no client that resolves them (RFC 3986, section 5.2.4); nginx resolves them itself',
  'status',
);
const HIDDEN = differs('what is refused does not exist; nginx says 400 or 403', 'status');
const NO_SLASH = differs(
  'an encoded slash is no separator (RFC 3986, section 2.2); nginx decodes it into one',
  'status',
);

const CODED =
  'ranges are of the form that is sent (RFC 9110, section 14.2); nginx has none for gzip_static';
const NO_RANGES = differs(CODED, 'accept-ranges');
const RANGE_OF_CODED = differs(CODED, 'status');

export const REQUESTS: readonly StaticRequest[] = [
  // Whole files.
  ask('GET /', 200),
  ask('GET /index.html', 200),
  ask('GET /folder/', 200),
  ask('GET /a.txt', 200),
  ask('GET /a.txt?query=/../x', 200),
  ask('GET /%61.txt', 200),
  ask('GET //a.txt', 200),
  ask('GET http://host/a.txt', 200),
  ask('GET /with%20space%20%C3%BC.css', 200),
  ask('GET /script.js', 200),
  ask('GET /data.json', 200),
  ask('GET /picture.svg', 200),
  ask('GET /no-extension', 200),
  ask('GET /empty.txt', 200),
  ask('GET /large.bin', 200),
  ask('HEAD /a.txt', 200),
  ask('HEAD /large.bin', 200),
  ask('HEAD /missing', 404),
  ask('GET /missing', 404),
  ask('GET /missing/', 404),
  ask('GET /a.txt/', 404),
  ask('GET /a.txt/x', 404),

  // Folders.
  ask('GET /folder', 301),
  ask('GET /folder?a=b&c=%20', 301),
  ask('GET //folder', 301),
  ask('GET /bare%20folder', 301),
  ask('HEAD /folder', 301),
  ask('GET /bare%20folder/', 404, {}, differs('no listing, no index: nothing there', 'status')),

  // Methods.
  ask(
    'OPTIONS /a.txt',
    204,
    {},
    differs('OPTIONS is answered (RFC 9110, section 9.3.7); nginx has none', 'status'),
  ),
  ask('DELETE /a.txt', 405),
  ask('PUT /a.txt', 405),

  // Hidden, outside, malformed.
  ask('GET /.env', 404),
  ask('GET /%2eenv', 404),
  ask('GET /.git/config', 404),
  ask('GET /folder/.hidden/x', 404),
  ask('GET /.well-known/security.txt', 200),
  ask('GET /.well-known/.env', 404),
  ask('GET /../secret.txt', 404, {}, HIDDEN),
  ask('GET /%2e%2e/secret.txt', 404, {}, HIDDEN),
  ask('GET /folder/../../secret.txt', 404, {}, HIDDEN),
  ask('GET /..%2fsecret.txt', 404, {}, HIDDEN),
  ask('GET /folder/../a.txt', 404, {}, NO_DOTS),
  ask('GET /./a.txt', 404, {}, NO_DOTS),
  ask('GET /folder%2findex.html', 404, {}, NO_SLASH),
  ask('GET /outside.txt', 404, {}, HIDDEN),
  ask('GET /outside/x.txt', 404),
  ask(
    'GET /inside.txt',
    200,
    {},
    differs('a link that stays inside is followed; nginx can only forbid all', 'status'),
  ),
  ask('GET /a%00.txt', 400),
  ask('GET /%zz', 400),
  ask(
    'GET /%ff',
    400,
    {},
    differs('a name that is not UTF-8 has no name here; nginx takes any bytes', 'status'),
  ),
  ask(`GET /${'a'.repeat(300)}`, 404),

  // One range.
  ask('GET /a.txt', 206, { Range: 'bytes=0-0' }),
  ask('GET /a.txt', 206, { Range: 'bytes=2-5' }),
  ask('GET /a.txt', 206, { Range: 'bytes=3-' }),
  ask('GET /a.txt', 206, { Range: 'bytes=-4' }),
  ask('GET /a.txt', 206, { Range: 'bytes=-999' }),
  ask('GET /a.txt', 206, { Range: 'bytes=0-999' }),
  ask('GET /a.txt', 206, { Range: 'bytes=0-9' }),
  ask('GET /a.txt', 206, { Range: 'BYTES=1-2' }),
  ask('GET /a.txt', 206, { Range: 'bytes= 1-2 ' }),
  ask('GET /large.bin', 206, { Range: 'bytes=100000-299999' }),
  ask('GET /large.bin', 206, { Range: 'bytes=-70000' }),
  ask('GET /', 206, { Range: 'bytes=0-2' }),
  ask('GET /a.txt', 416, { Range: 'bytes=10-' }),
  ask('GET /a.txt', 416, { Range: 'bytes=999-1000' }),
  ask('GET /large.bin', 416, { Range: 'bytes=300000-' }),
  ask('GET /a.txt', 416, { Range: 'bytes=-0' }),
  ask('GET /empty.txt', 200, { Range: 'bytes=0-' }),
  ask('GET /empty.txt', 200, { Range: 'bytes=-5' }),
  ask('GET /a.txt', 200, { Range: 'bytes=5-2' }, INVALID_IGNORED),
  ask('GET /a.txt', 200, { Range: 'bytes=a-b' }, INVALID_IGNORED),
  ask('GET /a.txt', 200, { Range: 'bytes=' }),
  ask('GET /a.txt', 200, { Range: 'bytes=-' }, INVALID_IGNORED),
  ask('GET /a.txt', 200, { Range: 'bytes=1-2-3' }, INVALID_IGNORED),
  ask('GET /a.txt', 200, { Range: 'lines=1-2' }),
  ask('HEAD /a.txt', 200, { Range: 'bytes=0-1' }, HEAD_IGNORES),
  ask('GET /missing', 404, { Range: 'bytes=0-1' }),

  // Several.
  ask('GET /a.txt', 206, { Range: 'bytes=0-1,4-5' }),
  ask('GET /a.txt', 206, { Range: 'bytes=7-8, 0-1 ,-1' }),
  ask('GET /large.bin', 206, { Range: 'bytes=0-9,100000-199999,-5' }),
  ask('GET /a.txt', 206, { Range: 'bytes=0-1,50-60' }),
  ask('GET /a.txt', 200, { Range: 'bytes=0-8,1-9' }),
  ask('GET /a.txt', 416, { Range: 'bytes=10-,20-30' }),
  ask('GET /a.txt', 200, { Range: 'bytes=0-1,x' }, INVALID_IGNORED),
  ask('GET /large.bin', 206, { Range: `bytes=${'0-0,'.repeat(63)}5-5` }),
  ask(
    'GET /large.bin',
    200,
    { Range: `bytes=${'0-0,'.repeat(64)}5-5` },
    differs('more than 64 ranges are answered by the whole; nginx bounds none', 'status'),
  ),

  // Conditions.
  ask('GET /a.txt', 304, { 'If-None-Match': '{etag}' }),
  ask('GET /a.txt', 304, { 'If-None-Match': 'W/{etag}' }),
  ask('GET /a.txt', 304, { 'If-None-Match': '"x", {etag}' }),
  ask('GET /a.txt', 304, { 'If-None-Match': '*' }),
  ask('HEAD /a.txt', 304, { 'If-None-Match': '{etag}' }),
  ask('GET /a.txt', 200, { 'If-None-Match': '"x"' }),
  ask('GET /missing', 404, { 'If-None-Match': '*' }),
  ask('GET /a.txt', 304, { 'If-Modified-Since': MODIFIED }),
  ask('GET /a.txt', 304, { 'If-Modified-Since': AFTER }),
  ask('GET /a.txt', 200, { 'If-Modified-Since': BEFORE }),
  ask('GET /a.txt', 200, { 'If-Modified-Since': 'yesterday' }),
  ask('GET /a.txt', 304, { 'If-Modified-Since': 'Tuesday, 14-Nov-23 22:13:20 GMT' }),
  ask('GET /a.txt', 304, { 'If-Modified-Since': 'Tue Nov 14 22:13:20 2023' }),
  ask('GET /a.txt', 200, { 'If-None-Match': '"x"', 'If-Modified-Since': MODIFIED }),
  ask(
    'GET /a.txt',
    304,
    { 'If-None-Match': '{etag}', 'If-Modified-Since': BEFORE },
    differs('If-None-Match decides alone (RFC 9110, section 13.2.2); nginx wants both', 'status'),
  ),
  ask('GET /a.txt', 200, { 'If-Match': '{etag}' }),
  ask('GET /a.txt', 200, { 'If-Match': '*' }),
  ask('GET /a.txt', 412, { 'If-Match': '"x"' }),
  ask('GET /a.txt', 412, { 'If-Match': 'W/{etag}' }),
  ask('HEAD /a.txt', 412, { 'If-Match': '"x"' }),
  ask('GET /a.txt', 200, { 'If-Unmodified-Since': MODIFIED }),
  ask('GET /a.txt', 412, { 'If-Unmodified-Since': BEFORE }),
  ask(
    'GET /a.txt',
    200,
    { 'If-Unmodified-Since': 'never' },
    differs('what is no date is no condition (RFC 9110, section 13.1.4); nginx fails it', 'status'),
  ),
  ask(
    'GET /a.txt',
    200,
    { 'If-Match': '{etag}', 'If-Unmodified-Since': BEFORE },
    differs('If-Match decides alone (RFC 9110, section 13.2.2); nginx wants both', 'status'),
  ),
  ask('GET /a.txt', 304, { 'If-Match': '{etag}', 'If-None-Match': '{etag}' }),
  ask('GET /a.txt', 304, { 'If-None-Match': '{etag}', Range: 'bytes=0-1' }),
  ask('GET /a.txt', 412, { 'If-Match': '"x"', Range: 'bytes=99-' }),

  // If-Range.
  ask('GET /a.txt', 206, { Range: 'bytes=0-1', 'If-Range': '{etag}' }),
  ask('GET /a.txt', 206, { Range: 'bytes=0-1', 'If-Range': MODIFIED }),
  ask('GET /a.txt', 200, { Range: 'bytes=0-1', 'If-Range': '"x"' }),
  ask('GET /a.txt', 200, { Range: 'bytes=0-1', 'If-Range': 'W/{etag}' }),
  ask('GET /a.txt', 200, { Range: 'bytes=0-1', 'If-Range': BEFORE }),
  ask('GET /a.txt', 200, { Range: 'bytes=0-1', 'If-Range': AFTER }),
  ask('GET /a.txt', 200, { Range: 'bytes=99-', 'If-Range': '"x"' }),

  // Codings.
  ask('GET /coded.txt', 200),
  ask('GET /coded.txt', 200, { 'Accept-Encoding': 'gzip' }, NO_RANGES),
  ask('HEAD /coded.txt', 200, { 'Accept-Encoding': 'gzip' }, NO_RANGES),
  ask('GET /coded.txt', 200, { 'Accept-Encoding': 'deflate, gzip;q=0.5' }, NO_RANGES),
  ask('GET /coded.txt', 200, { 'Accept-Encoding': 'gzip;q=0' }),
  ask('GET /coded.txt', 200, { 'Accept-Encoding': 'identity' }),
  ask('GET /coded.txt', 200, { 'Accept-Encoding': 'compress' }),
  ask('GET /coded.txt', 206, { 'Accept-Encoding': 'gzip', Range: 'bytes=0-9' }, RANGE_OF_CODED),
  ask('GET /coded.txt', 304, { 'Accept-Encoding': 'gzip', 'If-None-Match': '{gzip}' }),
  ask('GET /coded.txt', 200, { 'Accept-Encoding': 'gzip', 'If-None-Match': '{etag}' }, NO_RANGES),
  ask('GET /coded.txt.gz', 200, { 'Accept-Encoding': 'gzip' }),
  ask('GET /a.txt', 200, { 'Accept-Encoding': 'gzip, br, zstd' }),
  ask(
    'GET /coded.txt',
    200,
    { 'Accept-Encoding': 'identity, gzip;q=0.5' },
    differs(
      'the one with the higher quality (RFC 9110, section 12.5.3); nginx takes any gzip, and has no ranges of it',
      'accept-ranges',
      'content-encoding',
      'content-length',
      'body',
    ),
  ),
  ask(
    'GET /coded.txt',
    200,
    { 'Accept-Encoding': '*' },
    differs(
      '`*` is every coding (section 12.5.3); nginx looks for gzip',
      'content-encoding',
      'content-length',
      'body',
    ),
  ),
];
