// ENVELOPE (RFC 9051, 7.5.2): a mail's header in the form that lists of mails are made of.
import { fieldValue } from './header.mjs';
import { nstring } from './replies.mjs';

/** Of one field: more are not told. */
const MAX_ADDRESSES = 1000;

export function envelopeText(header) {
  const value = (name) => fieldValue(header, name);
  const text = (name) => nstring(value(name));
  const from = addressesText(value('from'));
  const orFrom = (name) => {
    const addresses = addressesText(value(name));
    return addresses === 'NIL' ? from : addresses;
  };
  const people = [from, orFrom('sender'), orFrom('reply-to')];
  const others = ['to', 'cc', 'bcc'].map((name) => addressesText(value(name)));
  const parts = [text('date'), text('subject'), ...people, ...others];
  return `(${[...parts, text('in-reply-to'), text('message-id')].join(' ')})`;
}

function addressesText(value) {
  if (value === null) return 'NIL';
  const addresses = parseAddresses(value).map(
    ([name, mailbox, host]) => `(${nstring(name)} NIL ${nstring(mailbox)} ${nstring(host)})`,
  );
  return addresses.length === 0 ? 'NIL' : `(${addresses.join('')})`;
}

const TOKEN = /"((?:[^"\\]|\\.)*)"|\(|[<>,;:]|[^\s"(<>,;:]+|\s+/gs;

/**
 * Addresses of a field (RFC 5322, 3.4): name, local part and host, each null where it is missing. A
 * group is its name without a host, its members, and an address of nothing at all.
 */
export function parseAddresses(value) {
  const found = [];
  let phrase = [];
  let address = '';
  let isAngle = false;
  let isGroup = false;
  const finish = () => {
    const bare = address !== '' ? address : phrase.join('');
    if (bare !== '') {
      const at = bare.lastIndexOf('@');
      // A route of hosts in front (obsolete) is not told.
      const local = bare.slice(bare.startsWith('@') ? bare.indexOf(':') + 1 : 0, Math.max(at, 0));
      const name = address === '' ? '' : phrase.join(' ').trim();
      found.push([
        name === '' ? null : name,
        at < 0 ? bare : local,
        at < 0 ? null : bare.slice(at + 1),
      ]);
    }
    [phrase, address, isAngle] = [[], '', false];
  };
  for (const [token, quoted] of withoutComments(value).matchAll(TOKEN)) {
    if (found.length >= MAX_ADDRESSES) return found;
    if (isAngle && token !== '>') address += token;
    else if (quoted !== undefined) phrase.push(quoted.replaceAll(/\\(.)/gs, '$1'));
    else if (token === '<') isAngle = true;
    else if (token === '>') isAngle = false;
    else if (token === ',') finish();
    else if (token === ':' && !isGroup) {
      found.push([null, phrase.join(' '), null]);
      [phrase, isGroup] = [[], true];
    } else if (token === ';' && isGroup) {
      finish();
      found.push([null, null, null]);
      isGroup = false;
    } else if (token.trim() !== '') phrase.push(token);
  }
  finish();
  return found;
}

/** Comments may be in one another, so no regular expression finds them. */
function withoutComments(value) {
  if (!value.includes('(')) return value;
  let text = '';
  let depth = 0;
  let isQuoted = false;
  for (let index = 0; index < value.length; index++) {
    const character = value[index];
    const isPair = character === '\\' && (isQuoted || depth > 0);
    if (character === '"' && depth === 0) isQuoted = !isQuoted;
    if (character === '(' && !isQuoted) depth++;
    if (depth === 0) text += isPair ? value.slice(index, index + 2) : character;
    if (character === ')' && depth > 0) depth--;
    if (isPair) index++;
  }
  return text;
}
