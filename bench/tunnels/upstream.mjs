// Agrees to whatever protocol it is asked for, and sends back what comes. `node upstream.mjs PORT`
import { createServer } from 'node:net';

const SWITCH = 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n';

createServer({ noDelay: true }, (socket) => {
  socket.on('error', () => {});
  socket.once('data', () => {
    socket.write(SWITCH);
    socket.pipe(socket);
  });
}).listen(Number(process.argv[2]), '127.0.0.1');
