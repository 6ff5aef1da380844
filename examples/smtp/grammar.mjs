// The arguments of MAIL and RCPT: RFC 5321, 4.1.2 and 4.1.3; RFC 6531 for what is not ASCII.

const OTHER = '\\u{80}-\\u{10ffff}';
const ATOM = `[\\w!#$%&'*+\\-/=?^\`{|}~${OTHER}]+`;
const QUOTED = `"(?:[ !#-\\[\\]-~${OTHER}]|\\\\[ -~])*"`;
const LABEL = `[A-Za-z0-9${OTHER}]+(?:-+[A-Za-z0-9${OTHER}]+)*`;
const DOMAIN = `${LABEL}(?:\\.${LABEL})*`;
const LITERAL = '\\[[!-Z^-~]+\\]';
/** Hosts in front of the mailbox: accepted and ignored (4.1.1.3, appendix C). */
const ROUTE = `(?:@${DOMAIN}(?:,@${DOMAIN})*:)?`;
const PATH = new RegExp(
  `^<${ROUTE}((${ATOM}(?:\\.${ATOM})*|${QUOTED})@(${DOMAIN}|${LITERAL}))>(.*)$`,
  'u',
);
const NULL_PATH = /^<>(.*)$/;
const POSTMASTER = /^<(postmaster)>(.*)$/i;
const PARAMETERS = /^(?: [A-Za-z0-9][A-Za-z0-9-]*(?:=[!-<>-~\u{80}-\u{10ffff}]+)?)*$/u;
/** Any name: nobody is refused for what he calls himself (4.1.4), but it goes into a header field. */
const HELLO = /^[\w.:[\]+%\u{a0}-\u{10ffff}-]+$/u;

/** Octets: RFC 5321, 4.5.3.1. */
const MAX_LOCAL_PART = 64;
const MAX_DOMAIN = 255;
const MAX_PATH = 256;

const octets = (text) => Buffer.byteLength(text);
export const isAscii = (text) => octets(text) === text.length;
export const isHello = (text) => HELLO.test(text);

/**
 * `<address>` and what follows it.
 * @param {'MAIL' | 'RCPT'} command the one may have no address at all, the other a bare postmaster
 * @returns {{address: string, parameters: Map<string, string>} | null} address '' for the null path;
 *   names of parameters in upper case, '' for those without a value; null: no such thing
 */
export function parsePath(command, text) {
  const found = PATH.exec(text);
  if (found !== null) {
    const [whole, address, localPart, domain, rest] = found;
    const tooLong =
      octets(localPart) > MAX_LOCAL_PART ||
      octets(domain) > MAX_DOMAIN ||
      octets(whole) - octets(rest) > MAX_PATH;
    return tooLong ? null : withParameters(address, rest);
  }
  const bare = (command === 'MAIL' ? NULL_PATH : POSTMASTER).exec(text);
  if (bare === null) return null;
  return command === 'MAIL' ? withParameters('', bare[1]) : withParameters(bare[1], bare[2]);
}

function withParameters(address, text) {
  const trimmed = text.trimEnd();
  if (!PARAMETERS.test(trimmed)) return null;
  const parameters = new Map();
  for (const parameter of trimmed.split(' ').slice(1)) {
    const [name, value = ''] = parameter.split(/=(.*)/s);
    if (parameters.has(name.toUpperCase())) return null;
    parameters.set(name.toUpperCase(), value);
  }
  return { address, parameters };
}
