// Commands about mailboxes (RFC 3501, 6.3): each takes what it needs and returns the end of its tagged OK.
//
// A command is given `{session, state, reader, store, own}`: the session, what it remembers, what is left of
// the command's line, the store, and the session's id for whoever should not be told by itself.
import { mailboxName } from '../mail/mail-store.mjs';
import { FLAG } from '../mail/mailbox.mjs';
import { ALL_FLAGS, bytesOf, flagsText, No, nstring } from './replies.mjs';
import { PHASE } from './session-state.mjs';

const DELIMITER = '"/"';

/** A mailbox's name out of a command. @throws No where there can be none of that name */
export function readMailbox(reader) {
  reader.space();
  const name = mailboxName(reader.astring());
  if (name === null) throw new No('[CANNOT] No mailbox can have that name');
  return name;
}

/** @throws No where it is not there */
export function existing(store, user, name, code = 'NONEXISTENT') {
  const mailbox = store.mailbox(user, name);
  if (mailbox === null) throw new No(`[${code}] No such mailbox`);
  return mailbox;
}

export const select = (command) => open(command, false);
export const examine = (command) => open(command, true);

function open({ session, state, reader, store }, isReadOnly) {
  // Even if it fails nothing is selected afterwards (6.3.1).
  state.phase = PHASE.authenticated;
  const name = readMailbox(reader);
  reader.end();
  const mailbox = existing(store, state.user, name);
  const { uids } = mailbox;
  const unseen = uids.findIndex((uid) => (mailbox.message(uid).flags & FLAG.seen) === 0);
  const lines = [
    `FLAGS ${flagsText(ALL_FLAGS)}`,
    `${uids.length} EXISTS`,
    '0 RECENT',
    ...(unseen < 0 ? [] : [`OK [UNSEEN ${unseen + 1}] The first that was not read`]),
    `OK [PERMANENTFLAGS ${flagsText(isReadOnly ? 0 : ALL_FLAGS)}] Kept for ever`,
    `OK [UIDVALIDITY ${mailbox.uidValidity}] Uids are good`,
    `OK [UIDNEXT ${mailbox.uidNext}] The next one`,
  ];
  session.write(lines.map((line) => `* ${line}\r\n`).join(''));
  state.mailbox = name;
  state.position = mailbox.position;
  state.readOnly = isReadOnly ? 1 : 0;
  state.phase = PHASE.selected;
  return isReadOnly ? '[READ-ONLY] Selected' : '[READ-WRITE] Selected';
}

export function create({ state, reader, store }) {
  const name = readMailbox(reader);
  reader.end();
  if (!store.create(state.user, name)) throw new No('[ALREADYEXISTS] It is there already');
  return 'Made';
}

/** DELETE and RENAME: mailboxes stay, so that no session's numbers lose what they count. */
export function cannot({ reader }) {
  readMailbox(reader);
  throw new No('[CANNOT] Mailboxes stay here');
}

/** Every mailbox is subscribed to, whatever the client says. */
export function subscribe({ reader }) {
  readMailbox(reader);
  reader.end();
  return 'Every mailbox is';
}

export const list = (command) => listAs(command, 'LIST');
export const lsub = (command) => listAs(command, 'LSUB');

function listAs({ session, state, reader, store }, name) {
  reader.space();
  const reference = reader.astring();
  reader.space();
  const pattern = reference + reader.listMailbox();
  reader.end();
  if (pattern === '') {
    session.write(`* ${name} (\\Noselect) ${DELIMITER} ""\r\n`);
    return 'The delimiter';
  }
  const names = store.names(state.user).filter((mailbox) => matches(pattern, mailbox));
  const lines = names.map(
    (found) => `* ${name} (\\HasNoChildren) ${DELIMITER} ${nstring(found)}\r\n`,
  );
  session.write(bytesOf(lines.join('')));
  return 'Listed';
}

/** With `*` and `%`, which are the same where no name has the delimiter; INBOX in any case. */
export function matches(pattern, name) {
  const wild = (character) => character === '*' || character === '%';
  const text = name === 'INBOX' ? pattern.toUpperCase() : pattern;
  let [at, index, star, retry] = [0, 0, -1, 0];
  while (index < name.length) {
    if (at < text.length && wild(text[at])) {
      [star, retry] = [at++, index];
    } else if (at < text.length && text[at] === name[index]) {
      at++;
      index++;
    } else if (star >= 0) {
      // The last star takes one more.
      at = star + 1;
      index = ++retry;
    } else {
      return false;
    }
  }
  while (at < text.length && wild(text[at])) at++;
  return at === text.length;
}

const STATUS_ITEMS = {
  MESSAGES: (mailbox) => mailbox.uids.length,
  RECENT: () => 0,
  UIDNEXT: (mailbox) => mailbox.uidNext,
  UIDVALIDITY: (mailbox) => mailbox.uidValidity,
  UNSEEN: (mailbox) =>
    mailbox.uids.filter((uid) => (mailbox.message(uid).flags & FLAG.seen) === 0).length,
  SIZE: (mailbox) => mailbox.uids.reduce((sum, uid) => sum + mailbox.message(uid).size, 0),
};

export function status({ session, state, reader, store }) {
  const name = readMailbox(reader);
  reader.space();
  reader.skip('(');
  const items = [reader.keyword()];
  while (reader.take(' ')) items.push(reader.keyword());
  reader.skip(')');
  reader.end();
  const unknown = items.find((item) => !Object.hasOwn(STATUS_ITEMS, item));
  if (unknown !== undefined) throw new No(`[CANNOT] Not told: ${unknown}`);
  const mailbox = existing(store, state.user, name);
  const values = items.map((item) => `${item} ${STATUS_ITEMS[item](mailbox)}`);
  session.write(`* STATUS ${nstring(name)} (${values.join(' ')})\r\n`);
  return 'Told';
}
