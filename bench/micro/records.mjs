// What extendedStatus adds to a request: node bench/micro/records.mjs [dist folder].
// Needs `npm run build:ts`. Figures are nanoseconds, the best of several rounds; a request makes three
// transitions (queued, processing, keepalive), one record, and one count in a series.
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const dist = pathToFileURL(`${resolve(process.argv[2] ?? 'dist')}/scoreboard/`).href;
const { Scoreboard } = await import(`${dist}scoreboard.js`);
const { ConnectionEvent: E } = await import(`${dist}states.js`);
const { countRequest, NO_SERIES } = await import(`${dist}request-counters.js`);

const TIMES = 300_000;
const ROUNDS = 12;
const SIZE = { connectionSlots: 64, childSlots: 4, bufferBytes: 4096 };
const boards = { off: Scoreboard.create(SIZE), on: Scoreboard.create(SIZE, false, true) };
for (const board of Object.values(boards)) board.move(0, board.word(0), E.accept);

const head = 'GET /path/to/something?query=1 HTTP/1.1\r\nHost: example.test:8080\r\n\r\n';
const source = new DataView(boards.on.shared.buffers);
boards.on.buffers.write(head, 'latin1');
const place = {
  lineStart: 0,
  methodBytes: 3,
  targetBytes: head.indexOf(' HTTP') - 4,
  hostStart: head.indexOf('Host: ') + 6,
  hostBytes: 'example.test:8080'.length,
  minorVersion: 1,
};

function moves(board) {
  for (let time = 0; time < TIMES; time++) {
    board.move(0, board.word(0), E.readable);
    board.tick(time);
    board.move(0, board.word(0), E.claim, 1);
    board.tick(time);
    board.move(0, board.word(0), E.responseSent);
  }
}
function record(board) {
  for (let time = 0; time < TIMES; time++) {
    board.requests?.begin(0, 1, time, source, place);
    board.requests?.end(0, 200, 0.25);
  }
}
function counts(route) {
  return (board) => {
    for (let time = 0; time < TIMES; time++) {
      const { series } = board;
      const number = series === null ? NO_SERIES : series.seriesOf('GET', route, 200);
      countRequest(board, 1, 200, 0.25, number);
    }
  };
}

const best = { off: {}, on: {} };
const parts = {
  'three transitions': moves,
  'record of a request': record,
  'count, route unknown': counts(''),
  'count, route named': counts('/path/:id'),
};
for (let round = 0; round < ROUNDS; round++) {
  for (const [name, run] of Object.entries(parts)) {
    for (const [which, board] of Object.entries(boards)) {
      const began = process.hrtime.bigint();
      run(board);
      const each = Number(process.hrtime.bigint() - began) / TIMES;
      best[which][name] = Math.min(best[which][name] ?? Number.POSITIVE_INFINITY, each);
    }
  }
}
for (const name of Object.keys(parts)) {
  const [off, on] = [best.off[name], best.on[name]];
  console.log(
    `${name.padEnd(22)} off ${off.toFixed(1).padStart(6)}  on ${on.toFixed(1).padStart(6)}  adds ${(on - off).toFixed(1)} ns`,
  );
}
