// A process of its own: holds many keep-alive connections to one server. It does as the bench
// asks over IPC (open, check, close) and ends when the bench has gone.
import { connect } from 'node:net';

const { host, port, path, connections, greeting } = JSON.parse(process.argv[2]);
const atOnce = 64; // below any listen backlog
const requestTimeoutMs = 10_000;
const request = `GET ${path} HTTP/1.1\r\nHost: ${host}:${port}\r\n\r\n`;

let sockets = [];
let lost = 0;

/** One request on a connection; settles with whether it was answered in full. */
function exchange(socket) {
  return new Promise((resolve) => {
    let text = '';
    const settle = (answered) => {
      clearTimeout(guard);
      socket.off('data', onData);
      socket.off('close', onClose);
      resolve(answered);
    };
    const onData = (bytes) => {
      text += bytes.toString('latin1');
      if (text.endsWith(greeting)) settle(text.startsWith('HTTP/1.1 200'));
    };
    const onClose = () => settle(false);
    const guard = setTimeout(settle, requestTimeoutMs, false);
    if (socket.destroyed) return settle(false);
    socket.on('data', onData);
    socket.on('close', onClose);
    socket.write(request);
  });
}

async function openOne() {
  const socket = connect({ host, port, noDelay: true });
  socket.on('error', () => {}); // 'close' follows
  const answered = await exchange(socket);
  if (!answered) {
    socket.destroy();
    return false;
  }
  socket.on('close', () => {
    lost++;
  });
  sockets.push(socket);
  return true;
}

/** Does `count` things, a few at a time; how many of them failed. */
async function failures(count, one) {
  let next = 0;
  let failed = 0;
  await Promise.all(
    Array.from({ length: atOnce }, async () => {
      while (next < count) if (!(await one(next++))) failed++;
    }),
  );
  return failed;
}

const commands = {
  async open() {
    lost = 0;
    const failed = await failures(connections, openOne);
    return { open: sockets.length, failed };
  },
  async check() {
    const lostBefore = lost;
    const failed = await failures(sockets.length, (index) => exchange(sockets[index]));
    return { failed, lost: lostBefore };
  },
  async close() {
    const closing = sockets;
    sockets = [];
    for (const socket of closing) {
      socket.removeAllListeners('close');
      socket.end();
    }
    await new Promise((resolve) => setTimeout(resolve, 200));
    for (const socket of closing) socket.destroy();
    return {};
  },
};

process.on('message', async ({ command }) => {
  try {
    process.send(await commands[command]());
  } catch (error) {
    process.send({ error: error.message });
  }
});
process.on('disconnect', () => process.exit());
