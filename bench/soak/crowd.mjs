// A process of its own: more clients than the server has room for. Each keeps a connection and asks on it
// every so often; where there is none for it, or it was let go, it comes again a little later. It does
// as the soak asks over IPC and ends when that has gone.
import { connect } from 'node:net';

const { host, port, connections } = JSON.parse(process.argv[2]);
const request = `GET /light HTTP/1.1\r\nHost: ${host}:${port}\r\n\r\n`;
/** Above what a connection has to be idle before it may be let go, so that some are. */
const askEveryMs = 2_000;
const againMs = 500;
const beginWithinMs = 2_000;

const counts = { answered: 0, unavailable: 0, letGo: 0, cut: 0, refused: 0, wrong: 0 };

const later = (ms, act) => setTimeout(act, ms * (0.5 + Math.random()));

function come() {
  const socket = connect({ host, port, noDelay: true });
  /** Asked, and not answered; and whether anything was answered at all. */
  let waits = false;
  let answers = 0;
  let refused = false;
  const ask = () => {
    if (socket.destroyed || !socket.writable) return;
    waits = true;
    socket.write(request);
  };
  socket.setEncoding('latin1');
  socket.on('connect', ask);
  socket.on('data', (text) => {
    waits = false;
    if (text.startsWith('HTTP/1.1 200')) counts.answered++;
    else if (text.startsWith('HTTP/1.1 503')) counts.unavailable++;
    else counts.wrong++;
    answers++;
    later(askEveryMs, ask);
  });
  socket.on('error', (error) => {
    refused = error.code === 'ECONNREFUSED' || error.code === 'ETIMEDOUT';
  });
  socket.on('close', () => {
    if (refused) counts.refused++;
    else if (!waits) counts.letGo++;
    // Before the first answer it was never inside.
    else if (answers > 0) counts.cut++;
    later(againMs, come);
  });
}

const commands = {
  begin() {
    for (let index = 0; index < connections; index++) later(beginWithinMs, come);
    return {};
  },
  counts: () => counts,
};

process.on('message', ({ command }) => process.send(commands[command]()));
process.on('disconnect', () => process.exit());
