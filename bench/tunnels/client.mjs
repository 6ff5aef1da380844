// Sends a message through each of some tunnels, and the next when it has come back; says when it begins and when
// so many were echoed. `node client.mjs PORT CONNECTIONS BYTES MESSAGES`, over IPC.
import { connect } from 'node:net';

const [port, connections, bytes, messages] = process.argv.slice(2).map(Number);
const message = Buffer.alloc(bytes, 'x');
const ask = 'GET /t HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n';
const sockets = [];
let ready = 0;
let echoed = 0;

const fail = (why) => {
  process.stderr.write(`${why}\n`);
  process.exit(1);
};
for (let number = 0; number < connections; number++) {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true });
  let received = -1;
  sockets.push(socket);
  socket.on('error', (error) => fail(error.message));
  socket.on('close', () => fail('a tunnel was closed'));
  socket.on('data', (data) => {
    if (received < 0) {
      if (!data.toString('latin1').startsWith('HTTP/1.1 101 ')) fail(data.toString('latin1'));
      received = 0;
      if (++ready === connections) process.send('ready');
      return;
    }
    received += data.length;
    if (received < bytes) return;
    received -= bytes;
    if (++echoed === messages) process.send('done');
    else if (echoed < messages) socket.write(message);
  });
  socket.write(ask);
}
process.on('message', () => {
  for (const socket of sockets) socket.write(message);
});
