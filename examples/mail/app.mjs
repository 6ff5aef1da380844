// A small mail server: mails come in by SMTP and are read by IMAP, each command in whichever worker is free.
//
//   hybrid-mpm serve examples/mail/app.mjs --listen '127.0.0.1:2525 smtp' --listen '127.0.0.1:1143 imap'
//   swaks --server 127.0.0.1:2525 --to alice@example.org
//   curl imap://alice:wonderland@127.0.0.1:1143/INBOX -X 'FETCH 1:* (FLAGS ENVELOPE)'
//
// MAIL_ROOT    folder of the mailboxes (./mail-data)
// MAIL_DOMAIN  whose mailboxes they are (example.org)
// MAIL_USERS   name:password,name:password (alice:wonderland,bob:builder)
// MAIL_SYNC    off: what was taken need not outlive a power failure
import { createHash, timingSafeEqual } from 'node:crypto';
import { imap } from '../imap/imap.mjs';
import { Refusal, smtp } from '../smtp/smtp.mjs';
import { isUserName, MailStore } from './mail-store.mjs';
import { Watchers } from './watchers.mjs';

const {
  MAIL_ROOT = 'mail-data',
  MAIL_DOMAIN = 'example.org',
  MAIL_USERS = 'alice:wonderland,bob:builder',
  MAIL_SYNC = 'on',
} = process.env;

const digest = (text) => createHash('sha256').update(text).digest();
/** Name: digest of the password. An example's; whoever has real users has a better place for them. */
const users = new Map(
  MAIL_USERS.split(',').map((entry) => {
    const [, name, password] = /^([^:]+):(.+)$/.exec(entry) ?? [];
    if (name === undefined || !isUserName(name)) {
      throw new Error(`MAIL_USERS: name:password expected, not ${JSON.stringify(entry)}`);
    }
    return [name, digest(password)];
  }),
);

const store = new MailStore(MAIL_ROOT, new Watchers(), { sync: MAIL_SYNC !== 'off' });

/** The user whose address it is. @throws Refusal */
function userOf(address) {
  const [, local, domain = MAIL_DOMAIN] = /^(.*?)(?:@([^@]*))?$/s.exec(address);
  if (domain.toLowerCase() !== MAIL_DOMAIN) {
    throw new Refusal(550, '5.7.1', 'This server takes no mail for others');
  }
  const name = local.toLowerCase();
  if (users.has(name)) return name;
  // RFC 5321, 4.5.1: there is always one.
  if (name === 'postmaster') return users.keys().next().value;
  throw new Refusal(550, '5.1.1', 'No such mailbox here');
}

export const protocols = {
  smtp: smtp({
    spool: store.spool,
    hostname: `mail.${MAIL_DOMAIN}`,
    recipient: userOf,
    deliver({ name, recipients }) {
      for (const user of new Set(recipients.map(userOf))) store.deliver(user, name);
    },
  }),
  imap: imap({
    store,
    login(name, password) {
      const [user, domain = MAIL_DOMAIN] = name.toLowerCase().split('@');
      if (domain !== MAIL_DOMAIN) return null;
      const right = users.get(user);
      const isRight = timingSafeEqual(digest(password), right ?? digest(''));
      return isRight && right !== undefined ? user : null;
    },
  }),
};
