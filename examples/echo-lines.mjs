// A chat of lines: what one client says every other one hears, whichever workers serve them.
// hybrid-mpm serve examples/echo-lines.mjs --listen '127.0.0.1:7000 lines'
// nc -C 127.0.0.1 7000
import { shared, wake } from 'hybrid-mpm';

/** Clients at most, and lines kept for those that have not heard them yet. */
const MEMBERS = 1024;
const LINES = 256;
const LINE_BYTES = 256;

// Shared by all workers: who is there, and the last lines that were said.
const members = new Int32Array(shared.buffer('members', MEMBERS * 4));
/** Lines begun; and, for each place, 1 more than the number of the line that stands there whole. */
const begun = new Int32Array(shared.buffer('begun', 4));
const whole = new Int32Array(shared.buffer('whole', LINES * 4));
const lines = Buffer.from(shared.buffer('lines', LINES * LINE_BYTES));

/** What a session remembers, in 4 bytes: the number of the next line that it has not heard. */
const heard = (session) => session.data.readInt32LE(0);

function join(session) {
  session.data.writeInt32LE(Atomics.load(begun, 0));
  for (let place = 0; place < MEMBERS; place++) {
    if (Atomics.compareExchange(members, place, 0, session.id) === 0) return true;
  }
  return false;
}

/** Everybody who is still there is called; who has gone leaves the place. */
function say(text) {
  const number = Atomics.add(begun, 0, 1);
  const at = (number % LINES) * LINE_BYTES;
  lines[at] = lines.write(text, at + 1, LINE_BYTES - 1);
  Atomics.store(whole, number % LINES, number + 1);
  for (let place = 0; place < MEMBERS; place++) {
    const id = Atomics.load(members, place);
    if (id !== 0 && !wake(id)) Atomics.compareExchange(members, place, id, 0);
  }
}

/** Up to the first line that is not whole yet: whoever is at it calls again. */
function tell(session) {
  let number = Math.max(heard(session), Atomics.load(begun, 0) - LINES);
  for (; Atomics.load(whole, number % LINES) === number + 1; number++) {
    const at = (number % LINES) * LINE_BYTES;
    session.write(lines.subarray(at + 1, at + 1 + lines[at]));
    session.write('\r\n');
  }
  session.data.writeInt32LE(number);
}

export const protocols = {
  lines: {
    idleTimeout: 300,
    inputLimit: 1024,
    dataBytes: 4,
    states: ['talking', 'silent'],
    greeting(session) {
      session.state = 'silent';
      if (join(session)) session.write('* hello\r\n');
      else {
        session.write('* there is no place left\r\n');
        session.end();
      }
    },
    receive(session, bytes) {
      const end = bytes.indexOf(10);
      if (end < 0) return 0;
      const line = bytes.toString('utf8', 0, end).trimEnd();
      session.state = 'talking';
      if (line === 'quit') {
        session.write('* bye\r\n');
        session.end();
      } else say(line);
      return end + 1;
    },
    woken: tell,
    tooLong(session) {
      session.write('* that line is too long\r\n');
    },
    timeout(session) {
      session.write('* nothing was heard of you\r\n');
    },
    stopping(session) {
      session.write('* the server stops\r\n');
    },
  },
};
