// The SMTP receiver alone: every mail is shown on stderr, but for those that one function refuses.
//
//   hybrid-mpm serve examples/smtp/app.mjs --listen '127.0.0.1:2525 smtp'
//   swaks --server 127.0.0.1:2525 --to anybody@example.org
import { readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Spool } from '../mail/spool.mjs';
import { Refusal, smtp } from './smtp.mjs';

// Each worker of the server has to find the same folder.
const folder = process.env.SMTP_SPOOL ?? join(tmpdir(), `smtp-spool-${process.pid}`);
const spool = new Spool(folder, false);

export const protocols = {
  smtp: smtp({
    spool,
    maxMessageBytes: 1024 * 1024,
    recipient(address) {
      if (address.startsWith('nobody@')) throw new Refusal(550, '5.1.1', 'Nobody is not here');
    },
    deliver({ name, from, recipients, size }) {
      const text = readFileSync(spool.pathOf(name), 'utf8');
      if (/^subject: *buy now/im.test(text)) throw new Refusal(554, '5.7.1', 'No, thank you');
      console.error(`<${from}> -> ${recipients.join(', ')}: ${size} bytes\n${text}`);
    },
  }),
};
