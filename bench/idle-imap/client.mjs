// A process of its own: holds IMAP connections in IDLE, sends mails by SMTP at a steady rate, and notes when
// each connection hears of its mail. It does as the bench asks over IPC and ends when the bench has gone.
import { connect } from 'node:net';

const { host, smtpPort, imapPort, connections, warm, mailboxes, senders } = JSON.parse(
  process.argv[2],
);
const atOnce = 64; // below any listen backlog
const stepTimeoutMs = 60_000;
const settleTimeoutMs = 30_000;

/** Per mailbox, when its n-th mail was sent. */
const sentAt = Array.from({ length: mailboxes }, () => [0]);
let sessions = [];
let delays = [];
let lost = 0;

/** A connection whose steps each say something and wait for a line that matches. */
async function dialogue(port, steps) {
  const socket = connect({ host, port, noDelay: true });
  socket.setEncoding('latin1');
  socket.on('error', () => {}); // 'close' follows
  let text = '';
  let changed = () => {};
  const onData = (piece) => {
    text += piece;
    changed();
  };
  socket.on('data', onData).on('close', () => changed());
  for (const [words, pattern] of steps) {
    if (words !== '') socket.write(words);
    const deadline = Date.now() + stepTimeoutMs;
    while (!pattern.test(text)) {
      const left = deadline - Date.now();
      if (left <= 0 || socket.destroyed) {
        socket.destroy();
        throw new Error(`no ${pattern} on ${words.trim()}: ${text.slice(-200)}`);
      }
      await new Promise((resolve) => {
        const timer = setTimeout(resolve, left);
        changed = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    text = '';
  }
  socket.off('data', onData);
  return socket;
}

async function openIdle(index) {
  const mailbox = index % mailboxes;
  const socket = await dialogue(imapPort, [
    ['', /^\* OK/],
    [`a LOGIN u${mailbox} p\r\n`, /^a OK/m],
    ['b SELECT INBOX\r\n', /^b OK/m],
    ['c IDLE\r\n', /^\+ /m],
  ]);
  const session = { socket, mailbox, exists: 0, tail: '' };
  socket.on('data', (piece) => {
    session.tail += piece;
    const end = session.tail.lastIndexOf('\n') + 1;
    for (const [, number] of session.tail.slice(0, end).matchAll(/^\* (\d+) EXISTS/gm)) {
      session.exists = Number(number);
      delays.push(performance.now() - sentAt[mailbox][session.exists]);
    }
    session.tail = session.tail.slice(end);
  });
  socket.on('close', () => {
    lost++;
  });
  sessions.push(session);
}

async function open(count) {
  let next = 0;
  await Promise.all(
    Array.from({ length: atOnce }, async () => {
      while (next < count) await openIdle(next++);
    }),
  );
}

async function close() {
  const closing = sessions;
  sessions = [];
  await Promise.all(
    closing.map(
      ({ socket }) =>
        new Promise((resolve) => {
          socket.removeAllListeners('close');
          socket.on('close', resolve);
          socket.end('DONE\r\nz LOGOUT\r\n');
          socket.resume();
        }),
    ),
  );
}

/** Sends mails to one mailbox after the other; resolves once all were taken. */
async function send(count, perSecond) {
  const sockets = await Promise.all(
    Array.from({ length: senders }, () =>
      dialogue(smtpPort, [
        ['', /^220 /],
        ['EHLO bench.test\r\n', /^250 /m],
      ]),
    ),
  );
  let taken = 0;
  let refused = 0;
  for (const socket of sockets) {
    let tail = '';
    socket.on('data', (piece) => {
      tail += piece;
      const end = tail.lastIndexOf('\n') + 1;
      taken += tail.slice(0, end).match(/^250 2\.0\.0 OK: /gm)?.length ?? 0;
      refused += tail.slice(0, end).match(/^[45]\d\d /gm)?.length ?? 0;
      tail = tail.slice(end);
    });
  }
  const began = performance.now();
  let sent = 0;
  await new Promise((resolve) => {
    const timer = setInterval(() => {
      const due = Math.min(count, ((performance.now() - began) * perSecond) / 1000);
      for (; sent < due; sent++) {
        const mailbox = sent % mailboxes;
        sentAt[mailbox].push(performance.now());
        sockets[sent % senders].write(
          `MAIL FROM:<b@x.test>\r\nRCPT TO:<u${mailbox}@example.org>\r\nDATA\r\nSubject: news\r\n\r\n${sent}\r\n.\r\n`,
        );
      }
      if (taken + refused >= count || performance.now() - began > stepTimeoutMs + count * 100) {
        clearInterval(timer);
        resolve();
      }
    }, 5);
  });
  for (const socket of sockets) socket.end('QUIT\r\n');
  return { taken, refused };
}

/** Connections that have not heard of all their mails, once nothing more comes or time is up. */
async function behind() {
  const isBehind = ({ mailbox, exists }) => exists < sentAt[mailbox].length - 1;
  const deadline = Date.now() + settleTimeoutMs;
  let count = sessions.filter(isBehind).length;
  while (count > 0 && Date.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, 50));
    count = sessions.filter(isBehind).length;
  }
  return count;
}

const quantile = (sorted, q) => sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))];

const commands = {
  /** Few connections that do what all will do, again and again, and a mail for each mailbox. */
  async warmUp() {
    for (let round = 0; round < Math.ceil(connections / warm); round++) {
      await open(warm);
      await close();
    }
    return send(mailboxes, 100);
  },
  async open() {
    lost = 0;
    await open(connections);
    for (const session of sessions) session.exists = sentAt[session.mailbox].length - 1;
    return { open: sessions.length };
  },
  async notify({ count, perSecond }) {
    delays = [];
    const outcome = await send(count, perSecond);
    const missed = await behind();
    delays.sort((a, b) => a - b);
    const [p50Ms, p99Ms] = [0.5, 0.99].map((q) => quantile(delays, q));
    return { ...outcome, told: delays.length, missed, lost, p50Ms, p99Ms, maxMs: delays.at(-1) };
  },
  async close() {
    await close();
    return {};
  },
};

process.on('message', async ({ command }) => {
  try {
    const [name, parameters] = Array.isArray(command) ? command : [command, {}];
    process.send(await commands[name](parameters));
  } catch (error) {
    process.send({ error: error.message });
  }
});
process.on('disconnect', () => process.exit());
