/**
 * Request smuggling: messages of which two HTTP implementations have been known to disagree where they
 * end, or what they ask for.
 *
 * Each is one request with another one inside, which must never be served. `expected` is what this server
 * makes of it: it refuses the message and ends the connection, or reads it as exactly one request, with
 * `/smuggled` nowhere but in its body, a trailer or an extension. RFC 9112 sections 2.2, 5, 6 and 7,
 * RFC 9110 sections 7.2 and 7.6; names of techniques as in the literature (CL.TE, TE.CL, CL.0 ...).
 *
 * `@@` stands for the number of the message.
 */

export interface Payload {
  readonly family: string;
  readonly name: string;
  /** One character a byte. */
  readonly text: string;
  readonly expected: 'refused' | 'one';
}

const INNER = 'GET /smuggled/@@ HTTP/1.1\r\nHost: inner\r\nX: y\r\n\r\n';
/** `@@` is replaced by a number of this many digits. */
export const NUMBER_DIGITS = 4;
const WIDE = (text: string): number =>
  text.length + (text.split('@@').length - 1) * (NUMBER_DIGITS - 2);

const HEAD = 'POST /outer/@@ HTTP/1.1\r\nHost: front\r\n';
const hex = (text: string): string => WIDE(text).toString(16);

type Line = readonly [name: string, line: string];

/** Lines that some take for `Transfer-Encoding: chunked` and others do not; all malformed or doubtful. */
const DOUBTFUL_CODINGS: readonly Line[] = [
  ['plain', 'Transfer-Encoding: chunked'],
  ['lower case', 'transfer-encoding: chunked'],
  ['upper case', 'TRANSFER-ENCODING: CHUNKED'],
  ['mixed case', 'tRANSFER-ENCODING: cHuNkEd'],
  ['no space', 'Transfer-Encoding:chunked'],
  ['tab', 'Transfer-Encoding:\tchunked'],
  ['many blanks', 'Transfer-Encoding: \t \t chunked\t '],
  ['space before the colon', 'Transfer-Encoding : chunked'],
  ['tab before the colon', 'Transfer-Encoding\t: chunked'],
  ['space before the name', ' Transfer-Encoding: chunked'],
  ['tab before the name', '\tTransfer-Encoding: chunked'],
  ['vertical tab before the value', 'Transfer-Encoding:\x0bchunked'],
  ['form feed before the value', 'Transfer-Encoding:\x0cchunked'],
  ['vertical tab behind', 'Transfer-Encoding: chunked\x0b'],
  ['form feed behind', 'Transfer-Encoding: chunked\x0c'],
  ['NUL before the value', 'Transfer-Encoding: \0chunked'],
  ['NUL behind', 'Transfer-Encoding: chunked\0'],
  ['NUL in the name', 'Transfer\0-Encoding: chunked'],
  ['NUL behind the name', 'Transfer-Encoding\0: chunked'],
  ['no-break space', 'Transfer-Encoding:\xa0chunked'],
  ['no-break space behind', 'Transfer-Encoding: chunked\xa0'],
  ['next line', 'Transfer-Encoding: chunked\x85'],
  ['high byte', 'Transfer-Encoding: \xffchunked'],
  ['DEL', 'Transfer-Encoding: chunked\x7f'],
  ['byte order mark', '\xef\xbb\xbfTransfer-Encoding: chunked'],
  ['folded value', 'Transfer-Encoding:\r\n chunked'],
  ['folded by a tab', 'Transfer-Encoding:\r\n\tchunked'],
  ['folded behind a coding', 'Transfer-Encoding: identity,\r\n chunked'],
  ['fold of an empty line', 'Transfer-Encoding: chunked\r\n \r\n'],
  ['bare LF before the value', 'Transfer-Encoding:\nchunked'],
  ['bare CR before the value', 'Transfer-Encoding:\rchunked'],
  ['bare LF before the line', 'X: y\nTransfer-Encoding: chunked'],
  ['bare CR before the line', 'X: y\rTransfer-Encoding: chunked'],
  ['bare LF behind', 'Transfer-Encoding: chunked\nX: y'],
  ['bare CR behind', 'Transfer-Encoding: chunked\rX: y'],
  ['CR CR LF behind', 'Transfer-Encoding: chunked\r'],
  ['quoted', 'Transfer-Encoding: "chunked"'],
  ['single quotes', "Transfer-Encoding: 'chunked'"],
  ['parameter', 'Transfer-Encoding: chunked;q=1'],
  ['empty parameter', 'Transfer-Encoding: chunked;'],
  ['prefix', 'Transfer-Encoding: xchunked'],
  ['suffix', 'Transfer-Encoding: chunkedx'],
  ['split word', 'Transfer-Encoding: chu nked'],
  ['cow', 'Transfer-Encoding: cow'],
  ['identity', 'Transfer-Encoding: identity'],
  ['empty', 'Transfer-Encoding:'],
  ['comma first', 'Transfer-Encoding: ,chunked'],
  ['comma last', 'Transfer-Encoding: chunked,'],
  ['semicolons for commas', 'Transfer-Encoding: identity; chunked'],
  ['identity, then chunked', 'Transfer-Encoding: identity, chunked'],
  ['chunked, then identity', 'Transfer-Encoding: chunked, identity'],
  ['gzip, then chunked', 'Transfer-Encoding: gzip, chunked'],
  ['chunked twice', 'Transfer-Encoding: chunked, chunked'],
  ['two lines', 'Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked'],
  ['second line identity', 'Transfer-Encoding: chunked\r\nTransfer-Encoding: identity'],
  ['second line cow', 'Transfer-Encoding: chunked\r\nTransfer-encoding: cow'],
  ['first line cow', 'Transfer-Encoding: cow\r\nTransfer-Encoding: chunked'],
  ['first line empty', 'Transfer-Encoding:\r\nTransfer-Encoding: chunked'],
  ['no colon', 'Transfer-Encoding chunked'],
  ['two colons', 'Transfer-Encoding:: chunked'],
  ['equals sign', 'Transfer-Encoding= chunked'],
  ['backslash', 'Transfer-Encoding: chunked\\'],
  ['line number', '1. Transfer-Encoding: chunked'],
  ['empty name before', ': chunked\r\nTransfer-Encoding: chunked'],
];

/** Not that field for anybody who reads names exactly: Content-Length alone counts. */
const OTHER_NAMES: readonly Line[] = [
  ['underscore', 'Transfer_Encoding: chunked'],
  ['X- prefix', 'X-Transfer-Encoding: chunked'],
  ['a letter short', 'Transfer-Encodin: chunked'],
  ['a letter more', 'Transfer-Encodings: chunked'],
  ['content coding', 'Content-Encoding: chunked'],
  ['TE', 'TE: chunked, trailers'],
  ['in a value', 'X: Transfer-Encoding: chunked'],
  ['Connection names it', 'Connection: Transfer-Encoding'],
  ['Trailer names it', 'Trailer: Transfer-Encoding'],
];

function* codings(): Generator<Payload> {
  const inBody = `0\r\n\r\n${INNER}`;
  for (const [name, line] of DOUBTFUL_CODINGS) {
    const clTe = `${HEAD}Content-Length: ${WIDE(inBody)}\r\n${line}\r\n\r\n${inBody}`;
    yield { family: 'CL.TE', name, text: clTe, expected: 'refused' };
    const chunk = `${hex(INNER)}\r\n${INNER}\r\n0\r\n\r\n`;
    const teCl = `${HEAD}${line}\r\nContent-Length: ${hex(INNER).length + 2}\r\n\r\n${chunk}`;
    yield { family: 'TE.CL', name, text: teCl, expected: 'refused' };
  }
  for (const [name, line] of OTHER_NAMES) {
    const text = `${HEAD}Content-Length: ${WIDE(inBody)}\r\n${line}\r\n\r\n${inBody}`;
    yield { family: 'CL.TE', name, text, expected: 'one' };
  }
}

function* lengths(): Generator<Payload> {
  const right = WIDE(INNER);
  const refused: readonly Line[] = [
    ['0, then right', `Content-Length: 0\r\nContent-Length: ${right}`],
    ['right, then 0', `Content-Length: ${right}\r\nContent-Length: 0`],
    ['right twice', `Content-Length: ${right}\r\nContent-Length: ${right}`],
    ['list', `Content-Length: ${right}, ${right}`],
    ['list with another', `Content-Length: 0, ${right}`],
    ['list and a line', `Content-Length: ${right},\r\nContent-Length: ${right}`],
    ['other case', `Content-Length: 0\r\ncontent-length: ${right}`],
    ['plus', `Content-Length: +${right}`],
    ['minus', `Content-Length: -${right}`],
    ['minus zero', 'Content-Length: -0'],
    ['hexadecimal', `Content-Length: 0x${right.toString(16)}`],
    ['exponent', 'Content-Length: 1e2'],
    ['fraction', `Content-Length: ${right}.0`],
    ['underscore in it', 'Content-Length: 1_0'],
    ['blank in it', 'Content-Length: 1 0'],
    ['letters behind', `Content-Length: ${right}abc`],
    ['empty', 'Content-Length:'],
    ['quoted', `Content-Length: "${right}"`],
    ['space before the colon', `Content-Length : ${right}`],
    ['tab before the colon', `Content-Length\t: ${right}`],
    ['space before the name', ` Content-Length: ${right}`],
    ['folded', `Content-Length:\r\n ${right}`],
    ['folded digits', 'Content-Length: 1\r\n 0'],
    ['vertical tab', `Content-Length:\x0b${right}`],
    ['NUL behind', `Content-Length: ${right}\0`],
    ['bare LF behind', `Content-Length: ${right}\nX: y`],
    ['bare CR behind', `Content-Length: ${right}\rX: y`],
    ['2^53', 'Content-Length: 9007199254740992'],
    ['2^64', 'Content-Length: 18446744073709551616'],
    ['2^64 and the right one', `Content-Length: ${2n ** 64n + BigInt(right)}`],
    ['2^32 as a list', `Content-Length: 4294967296,${right}`],
    ['fullwidth digits', 'Content-Length: \xef\xbc\x95'],
    ['no-break space', `Content-Length:\xa0${right}`],
    ['semicolon', `Content-Length: ${right};`],
  ];
  for (const [name, line] of refused) {
    yield { family: 'CL.CL', name, text: `${HEAD}${line}\r\n\r\n${INNER}`, expected: 'refused' };
  }
  const one: readonly Line[] = [
    ['zeros before', `Content-Length: 000${right}`],
    ['blanks around', `Content-Length: \t ${right}\t `],
    ['Content_Length beside', `Content_Length: 0\r\nContent-Length: ${right}`],
    ['X-Content-Length beside', `X-Content-Length: 0\r\nContent-Length: ${right}`],
    ['Connection names it', `Connection: keep-alive, Content-Length\r\nContent-Length: ${right}`],
    ['Connection names Host', `Connection: Host\r\nContent-Length: ${right}`],
    ['Keep-Alive beside', `Keep-Alive: timeout=5\r\nContent-Length: ${right}`],
    ['Proxy-Connection', `Proxy-Connection: keep-alive\r\nContent-Length: ${right}`],
  ];
  for (const [name, line] of one) {
    yield { family: 'CL.CL', name, text: `${HEAD}${line}\r\n\r\n${INNER}`, expected: 'one' };
  }
  for (const method of ['GET', 'HEAD', 'OPTIONS', 'DELETE', 'PUT', 'PATCH', 'TRACE', 'SEARCH']) {
    const line = `${method} /outer/@@ HTTP/1.1\r\nHost: front\r\n`;
    const text = `${line}Content-Length: ${right}\r\n\r\n${INNER}`;
    yield { family: 'CL.0', name: method, text, expected: 'one' };
    const chunk = `${line}Transfer-Encoding: chunked\r\n\r\n${hex(INNER)}\r\n${INNER}\r\n0\r\n\r\n`;
    yield { family: 'CL.0', name: `${method}, chunked`, text: chunk, expected: 'one' };
  }
}

/** Chunked bodies; `%` stands for a chunk with the inner request, with its size and its line ends. */
function* chunks(): Generator<Payload> {
  const size = hex(INNER);
  const whole = `${size}\r\n${INNER}\r\n`;
  const bodies: readonly (readonly [string, string, Payload['expected']])[] = [
    ['plain', `${whole}0\r\n\r\n`, 'one'],
    ['upper case', `${size.toUpperCase()}\r\n${INNER}\r\n0\r\n\r\n`, 'one'],
    ['zeros before', `000${size}\r\n${INNER}\r\n0000\r\n\r\n`, 'one'],
    ['plus', `+${size}\r\n${INNER}\r\n0\r\n\r\n`, 'refused'],
    ['minus', `-${size}\r\n${INNER}\r\n0\r\n\r\n`, 'refused'],
    ['0x', `0x${size}\r\n${INNER}\r\n0\r\n\r\n`, 'refused'],
    ['0X of zero', `0X0\r\n\r\n${INNER}`, 'refused'],
    ['underscore', `${size[0]}_${size.slice(1)}\r\n${INNER}\r\n0\r\n\r\n`, 'refused'],
    ['space before', ` ${size}\r\n${INNER}\r\n0\r\n\r\n`, 'refused'],
    ['space behind', `${size} \r\n${INNER}\r\n0\r\n\r\n`, 'refused'],
    ['tab behind', `${size}\t\r\n${INNER}\r\n0\r\n\r\n`, 'refused'],
    ['letter behind', `${size}z\r\n${INNER}\r\n0\r\n\r\n`, 'refused'],
    ['dot behind', `${size}.0\r\n${INNER}\r\n0\r\n\r\n`, 'refused'],
    ['NUL behind', `${size}\0\r\n${INNER}\r\n0\r\n\r\n`, 'refused'],
    ['empty size', `\r\n${INNER}\r\n0\r\n\r\n`, 'refused'],
    ['extension for a size', `;a\r\n${INNER}\r\n0\r\n\r\n`, 'refused'],
    ['2^32 and zero', `100000000\n\r\n${INNER}`, 'refused'],
    ['2^53', `20000000000000\r\n${INNER}`, 'refused'],
    ['2^64', `10000000000000000\r\n${INNER}`, 'refused'],
    ['2^64 and the right one', `1${size.padStart(16, '0')}\r\n${INNER}\r\n0\r\n\r\n`, 'refused'],
    ['minus one', `ffffffffffffffff\r\n${INNER}`, 'refused'],
    ['sign bit', `8000000000000000\r\n${INNER}`, 'refused'],
    ['size ended by LF', `${size}\n${INNER}\r\n0\r\n\r\n`, 'refused'],
    ['size ended by CR', `${size}\r${INNER}\r\n0\r\n\r\n`, 'refused'],
    ['size ended by CR CR LF', `${size}\r\r\n${INNER}\r\n0\r\n\r\n`, 'refused'],
    ['size ended by LF CR', `${size}\n\r${INNER}\r\n0\r\n\r\n`, 'refused'],
    ['data ended by LF', `${size}\r\n${INNER}\n0\r\n\r\n`, 'refused'],
    ['data ended by CR', `${size}\r\n${INNER}\r0\r\n\r\n`, 'refused'],
    ['data ended by nothing', `${size}\r\n${INNER}0\r\n\r\n`, 'refused'],
    ['data ended by two other bytes', `${size}\r\n${INNER}XX0\r\n\r\n`, 'refused'],
    ['data longer than told', `2\r\nabc\r\n0\r\n\r\n`, 'refused'],
    ['data shorter than told', `5\r\nabc\r\n0\r\n\r\n${INNER}`, 'refused'],
    ['last chunk ended by LF', `0\n\r\n${INNER}`, 'refused'],
    ['last chunk ended by LF LF', `0\n\n${INNER}`, 'refused'],
    ['body ended by LF', `0\r\n\n${INNER}`, 'refused'],
    ['body ended by CR', `0\r\n\r${INNER}`, 'refused'],
    ['no end of the body', `0\r\n${INNER}`, 'refused'],
    ['a second last chunk', `0\r\n0\r\n\r\n${INNER}`, 'refused'],
  ];
  for (const [name, body, expected] of bodies) {
    const text = `${HEAD}Transfer-Encoding: chunked\r\n\r\n${body}`;
    yield { family: 'chunk size', name, text, expected };
  }
  const extensions: readonly (readonly [string, string, Payload['expected']])[] = [
    ['name and value', `${size};a=b\r\n${INNER}\r\n0\r\n\r\n`, 'one'],
    ['a request in quotes', `${size};a="GET /smuggled HTTP/1.1"\r\n${INNER}\r\n0\r\n\r\n`, 'one'],
    ['blanks around', `${size} ; a = b\r\n${INNER}\r\n0\r\n\r\n`, 'one'],
    ['on the last chunk', `${whole}0;a=b\r\n\r\n`, 'one'],
    ['TERM.EXT: LF behind the semicolon', `5;\nxxxxx\r\n${size}\r\n0\r\n\r\n${INNER}`, 'refused'],
    ['TERM.EXT: LF in a name', `5;a\nhello\r\n${size}\r\n0\r\n\r\n${INNER}`, 'refused'],
    ['TERM.EXT: CR in a name', `5;a\rhello\r\n${size}\r\n0\r\n\r\n${INNER}`, 'refused'],
    ['EXT.TERM: LF for the line end', `2;\n\r\n0\r\n\r\n${INNER}`, 'refused'],
    ['EXT.TERM: CR for the line end', `2;\r\r\n0\r\n\r\n${INNER}`, 'refused'],
    ['EXT.TERM: LF behind a value', `2;a=b\nxx\r\n0\r\n\r\n${INNER}`, 'refused'],
    ['line break in quotes', `2;a="\r\nxx\r\n0\r\n\r\n${INNER}"\r\nxx\r\n0\r\n\r\n`, 'refused'],
    ['LF in quotes', `2;a="\nxx\n0\n\n"\r\nxx\r\n0\r\n\r\n`, 'refused'],
    ['escaped line break in quotes', `2;a="\\\r\n"\r\nxx\r\n0\r\n\r\n`, 'refused'],
    ['unclosed quotes', `2;a="b\r\nxx\r\n0\r\n\r\n`, 'refused'],
    ['NUL', `2;a\0b\r\nxx\r\n0\r\n\r\n`, 'refused'],
    ['no name', `2;\r\nxx\r\n0\r\n\r\n`, 'refused'],
    ['no value', `2;a=\r\nxx\r\n0\r\n\r\n`, 'refused'],
    ['16 kB of it', `2;${'a'.repeat(16_000)}\r\nxx\r\n0\r\n\r\n`, 'refused'],
    ['LF on the last chunk', `0;\n\r\n\r\n${INNER}`, 'refused'],
    ['CR on the last chunk', `0;a\r\r\n\r\n${INNER}`, 'refused'],
  ];
  for (const [name, body, expected] of extensions) {
    const text = `${HEAD}Transfer-Encoding: chunked\r\n\r\n${body}`;
    yield { family: 'chunk extension', name, text, expected };
  }
  const trailers: readonly (readonly [string, string, Payload['expected']])[] = [
    ['a field', 'X: y\r\n\r\n', 'one'],
    ['a request in a value', 'X: GET /smuggled HTTP/1.1\r\n\r\n', 'one'],
    ['Content-Length', 'Content-Length: 60\r\n\r\n', 'one'],
    ['Transfer-Encoding', 'Transfer-Encoding: chunked\r\n\r\n', 'one'],
    ['Host', 'Host: inner\r\n\r\n', 'one'],
    ['Connection', 'Connection: close\r\n\r\n', 'one'],
    ['a request', INNER, 'refused'],
    ['a request behind a field', `X: y\r\n${INNER}`, 'refused'],
    ['a fold', `X: y\r\n z\r\n\r\n${INNER}`, 'refused'],
    ['ended by LF', `X: y\n\r\n${INNER}`, 'refused'],
    ['ended by CR', `X: y\r\r\n${INNER}`, 'refused'],
    ['LF LF', `X: y\n\n${INNER}`, 'refused'],
    ['space before the colon', `X : y\r\n\r\n${INNER}`, 'refused'],
    ['NUL', `X: \0\r\n\r\n${INNER}`, 'refused'],
    ['no colon', `X\r\n\r\n${INNER}`, 'refused'],
    ['64 kB of them', `${`X: ${'y'.repeat(1000)}\r\n`.repeat(64)}\r\n`, 'refused'],
  ];
  for (const [name, body, expected] of trailers) {
    const text = `${HEAD}Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n${body}`;
    yield { family: 'trailer', name, text, expected };
  }
}

function* heads(): Generator<Payload> {
  const length = `Content-Length: ${WIDE(INNER)}\r\n`;
  const behind = `${length}\r\n${INNER}`;
  const refused: readonly Line[] = [
    ['LF behind the request line', `POST /outer/@@ HTTP/1.1\nHost: front\r\n${behind}`],
    ['CR behind the request line', `POST /outer/@@ HTTP/1.1\rHost: front\r\n${behind}`],
    ['LF behind every line', `POST /outer/@@ HTTP/1.1\nHost: front\n${length.trim()}\n\n${INNER}`],
    ['CR CR LF', `POST /outer/@@ HTTP/1.1\r\nHost: front\r\r\n${behind}`],
    ['head ended by LF', `${HEAD}${length}\n${INNER}`],
    ['head ended by CR', `${HEAD}${length}\r${INNER}`],
    ['NUL in a value', `${HEAD}X: a\0b\r\n${behind}`],
    ['NUL in a name', `${HEAD}X\0: b\r\n${behind}`],
    ['NUL in the target', `POST /outer/@@\0 HTTP/1.1\r\nHost: front\r\n${behind}`],
    ['control in a value', `${HEAD}X: a\x01b\r\n${behind}`],
    ['fold', `${HEAD}X: a\r\n b\r\n${behind}`],
    ['fold of a tab', `${HEAD}X: a\r\n\tb\r\n${behind}`],
    ['fold of the first line', `POST /outer/@@ HTTP/1.1\r\n X: y\r\nHost: front\r\n${behind}`],
    ['fold that looks like a request', `${HEAD}X: a\r\n GET /smuggled/@@ HTTP/1.1\r\n${behind}`],
    ['line without a colon', `${HEAD}GET /smuggled/@@ HTTP/1.1\r\n${behind}`],
    ['empty name', `${HEAD}: y\r\n${behind}`],
    ['name with brackets', `${HEAD}X[0]: y\r\n${behind}`],
    ['two empty lines first', `\r\n\r\n${HEAD}${behind}`],
    ['LF first', `\n${HEAD}${behind}`],
    ['blank first', ` ${HEAD}${behind}`],
    ['double blanks', `POST  /outer/@@  HTTP/1.1\r\nHost: front\r\n${behind}`],
    ['tabs', `POST\t/outer/@@\tHTTP/1.1\r\nHost: front\r\n${behind}`],
    ['blank behind the version', `POST /outer/@@ HTTP/1.1 \r\nHost: front\r\n${behind}`],
    ['words behind the version', `POST /outer/@@ HTTP/1.1 HTTP/1.0\r\nHost: front\r\n${behind}`],
    ['line break in the target', `POST /outer/@@\r\n HTTP/1.1\r\nHost: front\r\n${behind}`],
    ['fragment', `POST /outer/@@#x HTTP/1.1\r\nHost: front\r\n${behind}`],
    [
      'high bytes in the target',
      `POST /outer/@@/\xc4\x8d\xc4\x8a HTTP/1.1\r\nHost: front\r\n${behind}`,
    ],
    ['invalid method', `PO(ST /outer/@@ HTTP/1.1\r\nHost: front\r\n${behind}`],
  ];
  for (const [name, text] of refused) yield { family: 'head', name, text, expected: 'refused' };
  yield {
    family: 'head',
    name: 'one empty line first',
    text: `\r\n${HEAD}${behind}`,
    expected: 'one',
  };

  const versions: readonly (readonly [string, string, Payload['expected']])[] = [
    [
      '1.0 and chunked',
      `HTTP/1.0\r\nHost: front\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${INNER}`,
      'refused',
    ],
    [
      '1.0, kept, and chunked',
      `HTTP/1.0\r\nHost: front\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${INNER}`,
      'refused',
    ],
    [
      '1.0, chunked and a length',
      `HTTP/1.0\r\nHost: front\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n${INNER}`,
      'refused',
    ],
    ['1.0, kept', `HTTP/1.0\r\nHost: front\r\nConnection: keep-alive\r\n${behind}`, 'one'],
    ['0.9', `HTTP/0.9\r\nHost: front\r\n${behind}`, 'refused'],
    ['1.2', `HTTP/1.2\r\nHost: front\r\n${behind}`, 'refused'],
    ['2.0', `HTTP/2.0\r\nHost: front\r\n${behind}`, 'refused'],
    ['lower case', `http/1.1\r\nHost: front\r\n${behind}`, 'refused'],
    ['1.10', `HTTP/1.10\r\nHost: front\r\n${behind}`, 'refused'],
    ['01.1', `HTTP/01.1\r\nHost: front\r\n${behind}`, 'refused'],
    ['HTTPS', `HTTPS/1.1\r\nHost: front\r\n${behind}`, 'refused'],
    ['none', `\r\nHost: front\r\n${behind}`, 'refused'],
  ];
  for (const [name, rest, expected] of versions) {
    yield { family: 'version', name, text: `POST /outer/@@ ${rest}`, expected };
  }
  const preface = `PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n${INNER}`;
  yield { family: 'version', name: 'HTTP/2 preface', text: preface, expected: 'refused' };

  const hosts: readonly (readonly [string, string, string, Payload['expected']])[] = [
    ['none', '/outer/@@', '', 'refused'],
    ['two', '/outer/@@', 'Host: front\r\nHost: inner\r\n', 'refused'],
    ['the same twice', '/outer/@@', 'Host: front\r\nHost: front\r\n', 'refused'],
    ['space before the colon', '/outer/@@', 'Host : front\r\n', 'refused'],
    ['folded', '/outer/@@', 'Host:\r\n front\r\n', 'refused'],
    ['folded second', '/outer/@@', 'Host: front\r\n Host: inner\r\n', 'refused'],
    ['list', '/outer/@@', 'Host: front, inner\r\n', 'refused'],
    ['blank in it', '/outer/@@', 'Host: front inner\r\n', 'refused'],
    ['path in it', '/outer/@@', 'Host: front/inner\r\n', 'refused'],
    ['user in it', '/outer/@@', 'Host: front@inner\r\n', 'refused'],
    ['backslash', '/outer/@@', 'Host: front\\inner\r\n', 'refused'],
    ['query in it', '/outer/@@', 'Host: front?inner\r\n', 'refused'],
    ['port that is none', '/outer/@@', 'Host: front:80x\r\n', 'refused'],
    ['port that is too large', '/outer/@@', 'Host: front:99999\r\n', 'refused'],
    ['high byte', '/outer/@@', 'Host: fr\xf6nt\r\n', 'refused'],
    ['absolute form, another', 'http://inner/outer/@@', 'Host: front\r\n', 'one'],
    ['absolute form, none', 'http://inner/outer/@@', '', 'refused'],
    ['absolute form, two', 'http://inner/outer/@@', 'Host: a\r\nHost: b\r\n', 'refused'],
    ['absolute form with a user', 'http://front@inner/outer/@@', 'Host: front\r\n', 'refused'],
    ['absolute form, empty authority', 'http:///outer/@@', 'Host: front\r\n', 'refused'],
    ['another scheme', 'gopher://inner/outer/@@', 'Host: front\r\n', 'refused'],
    ['no slash', 'outer/@@', 'Host: front\r\n', 'refused'],
    ['authority form', 'inner:80', 'Host: front\r\n', 'refused'],
    ['asterisk', '*', 'Host: front\r\n', 'refused'],
  ];
  for (const [name, target, lines, expected] of hosts) {
    const text = `POST ${target} HTTP/1.1\r\n${lines}${behind}`;
    yield { family: 'host and target', name, text, expected };
  }
  const controls: readonly (readonly [string, string, Payload['expected']])[] = [
    ['100-continue', 'Expect: 100-continue\r\n', 'one'],
    ['100-Continue', 'Expect: 100-Continue\r\n', 'one'],
    ['100-continue twice', 'Expect: 100-continue\r\nExpect: 100-continue\r\n', 'one'],
    ['y 100-continue', 'Expect: y 100-continue\r\n', 'refused'],
    ['100-continue, and a list', 'Expect: 100-continue, x\r\n', 'refused'],
    ['200-ok', 'Expect: 200-ok\r\n', 'refused'],
    ['empty', 'Expect:\r\n', 'refused'],
    ['folded', 'Expect:\r\n 100-continue\r\n', 'refused'],
    ['space before the colon', 'Expect : 100-continue\r\n', 'refused'],
  ];
  for (const [name, line, expected] of controls) {
    yield { family: 'expect', name, text: `${HEAD}${line}${behind}`, expected };
  }
  const upgrades: readonly Line[] = [
    ['h2c', 'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n'],
    ['h2c without its settings', 'Connection: Upgrade\r\nUpgrade: h2c\r\n'],
    ['websocket', 'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n'],
    [
      'websocket, version 777',
      'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 777\r\n',
    ],
    ['TLS/1.0', 'Connection: Upgrade\r\nUpgrade: TLS/1.0\r\n'],
    ['no Connection', 'Upgrade: websocket\r\n'],
    ['Connection alone', 'Connection: Upgrade\r\n'],
  ];
  for (const [name, lines] of upgrades) {
    yield { family: 'upgrade', name, text: `${HEAD}${lines}${behind}`, expected: 'one' };
  }
}

/** All of them, numbered by their place. */
export const CORPUS: readonly Payload[] = [...codings(), ...lengths(), ...chunks(), ...heads()];

/** The bytes of a message, and of the honest request that follows it. */
export function bytesOf(payload: Payload, number: number): Buffer {
  const digits = String(number).padStart(NUMBER_DIGITS, '0');
  const marker = `GET /marker/${digits} HTTP/1.1\r\nHost: front\r\nConnection: close\r\n\r\n`;
  return Buffer.from(payload.text.replaceAll('@@', digits) + marker, 'latin1');
}
