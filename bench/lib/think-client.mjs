// A process of its own: clients that send a request, read the answer, think for a random time
// and send the next. Seeded, so that every server meets the same sequence of pauses. It does as
// the bench asks over IPC (connect, begin, end) and ends when the bench has gone.
import { connect } from 'node:net';
import { percentile } from './stats.mjs';

const { host, port, path, clients, meanThinkMs, seed, greeting, long } = JSON.parse(
  process.argv[2],
);
const requestFor = (target) => `GET ${target} HTTP/1.1\r\nHost: ${host}:${port}\r\n\r\n`;
const request = requestFor(path);
// `long`: {path, share}, a share of requests that keep a handler busy; what they take is left out.
const longRequest = long === undefined ? '' : requestFor(long.path);
let longShare = 0;
const maxThinkMs = 10 * meanThinkMs;

/** Mulberry32: a small generator with 32 bits of state. */
function generator(state) {
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

let latenciesMs = [];
let failed = 0;
let longAnswered = 0;
let beganAt = 0;
let waiting = 0;

/** A whole response: one that is known, or one line of text. */
const ends = (text) =>
  long === undefined ? text.endsWith(greeting) : /\r\n\r\n[^\r\n]+\n$/.test(text);

function startThinking(index) {
  const random = generator(seed + index * 7919);
  let socket;
  let sentAt = 0;
  let text = '';
  let isLong = false;

  const think = () => {
    const pauseMs = Math.min(-Math.log(1 - random()) * meanThinkMs, maxThinkMs);
    setTimeout(ask, pauseMs);
  };
  const ask = () => {
    if (socket === undefined) open();
    text = '';
    waiting++;
    sentAt = performance.now();
    isLong = random() < longShare;
    socket.write(isLong ? longRequest : request);
  };
  const open = () => {
    socket = connect({ host, port, noDelay: true });
    socket.on('error', () => {}); // 'close' follows
    socket.on('data', (bytes) => {
      text += bytes.toString('latin1');
      if (!ends(text)) return;
      waiting--;
      if (!text.startsWith('HTTP/1.1 200')) failed++;
      else if (isLong) longAnswered++;
      else latenciesMs.push(performance.now() - sentAt);
      sentAt = 0;
      think();
    });
    socket.on('close', () => {
      socket = undefined;
      failed++;
      // Between requests the next one opens another connection; amid one it is lost.
      if (sentAt === 0) return;
      waiting--;
      sentAt = 0;
      think();
    });
  };
  open();
  think();
}

const commands = {
  connect() {
    for (let index = 0; index < clients; index++) startThinking(index);
    return {};
  },
  mix() {
    longShare = long.share;
    return {};
  },
  begin() {
    longAnswered = 0;
    latenciesMs = [];
    failed = 0;
    beganAt = performance.now();
    return {};
  },
  end() {
    const durationS = (performance.now() - beganAt) / 1000;
    const sorted = latenciesMs.sort((a, b) => a - b);
    const requests = sorted.length;
    const answer = {
      requests,
      durationS,
      requestsPerS: requests / durationS,
      p50Ms: percentile(sorted, 50),
      p99Ms: percentile(sorted, 99),
      maxMs: sorted.at(-1),
      failed,
      longPerS: longAnswered / durationS,
      waiting,
    };
    latenciesMs = [];
    return answer;
  },
};

process.on('message', ({ command }) => {
  try {
    process.send(commands[command]());
  } catch (error) {
    process.send({ error: error.message });
  }
});
process.on('disconnect', () => process.exit());
