// The bytes between DATA and its end: takes the dots out (RFC 5321, 4.5.2) and finds the one end.
//
// A mail ends with CR LF . CR LF and with nothing else. A server that also ends it with LF . LF or
// CR . CR, behind one that does not, takes a part of a mail for commands and lets its author speak in
// the name of that other server (CVE-2023-51764 and others: SMTP smuggling). So CR and LF on their own
// end no line here; a mail that has one is read to its true end and then refused, since the next server
// may read it otherwise (RFC 5321, 2.3.8).

/** Where the decoder is. At first behind a line's end. */
export const AT = { lineStart: 0, text: 1, cr: 2, dot: 3, dotCr: 4 };
/** What is wrong with a mail; the first that was found counts. */
export const FAULT = { none: 0, bareLf: 1, bareCr: 2, longLine: 3, tooLarge: 4 };

const CR = 13;
const LF = 10;
const DOT = 46;

const scratch = Buffer.allocUnsafeSlow(64 * 1024);

/**
 * Decodes a piece of a mail.
 * @param {{at: number, fault: number, lineBytes: number}} state goes on with it; is changed
 * @param {Buffer} bytes what came, of any length
 * @param {number} maxLineBytes of a line with its end, without a dot that was put in
 * @returns {{consumed: number, ended: boolean, content: Buffer}} content is valid until the next call;
 *   empty once there is a fault
 */
export function decode(state, bytes, maxLineBytes) {
  const out = bytes.length + 1 <= scratch.length ? scratch : Buffer.allocUnsafe(bytes.length + 1);
  let { at, fault, lineBytes } = state;
  let length = 0;
  let index = 0;
  let ended = false;
  const blame = (found) => {
    if (fault === FAULT.none) fault = found;
  };
  while (index < bytes.length && !ended) {
    const byte = bytes[index++];
    if (byte === LF) {
      if (at === AT.dotCr) {
        ended = true;
      } else if (at === AT.cr) {
        // The CR was held back, since what it is only shows now.
        out[length++] = CR;
        out[length++] = LF;
        if (lineBytes + 2 > maxLineBytes) blame(FAULT.longLine);
        at = AT.lineStart;
        lineBytes = 0;
      } else {
        blame(FAULT.bareLf);
        at = AT.text;
      }
    } else if (byte === CR) {
      if (at === AT.cr || at === AT.dotCr) blame(FAULT.bareCr);
      at = at === AT.dot ? AT.dotCr : AT.cr;
    } else if (byte === DOT && at === AT.lineStart) {
      at = AT.dot;
    } else {
      if (at === AT.cr || at === AT.dotCr) blame(FAULT.bareCr);
      at = AT.text;
      out[length++] = byte;
      // Counted no further than it matters: it has 16 bits in the session's memory.
      if (lineBytes < maxLineBytes) lineBytes++;
    }
  }
  if (lineBytes >= maxLineBytes) blame(FAULT.longLine);
  Object.assign(state, { at, fault, lineBytes });
  return { consumed: index, ended, content: out.subarray(0, fault === FAULT.none ? length : 0) };
}
