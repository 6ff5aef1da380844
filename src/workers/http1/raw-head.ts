/**
 * What the head of a response says, read from its bytes or its status.
 *
 * Role: heads that somebody else wrote (node:http), and which responses have no content.
 * Thread: any; pure functions.
 */
const HEAD_END = Buffer.from('\r\n\r\n', 'latin1');

/**
 * RFC 9110, section 6.4.1: these never have content; section 8.6: and must not, or need not, say a
 * Content-Length.
 */
export function hasNoContent(status: number): boolean {
  return status === 204 || status === 304 || status < 200;
}

/** Bytes of the head that somebody else's response begins with. */
export function headBytes(bytes: Uint8Array): number {
  const end = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).indexOf(HEAD_END);
  return end < 0 ? bytes.length : end + HEAD_END.length;
}

/** Status code of a status line that somebody else wrote. */
export function statusIn(bytes: Uint8Array): number {
  const digit = (at: number) => (bytes[at] ?? 48) - 48;
  return digit(9) * 100 + digit(10) * 10 + digit(11);
}
