/**
 * A server that takes no notice of bodies: what follows a head is the next request. CL.0 in person, to
 * show that the smuggling tests would see what they look for. It answers as test/fixtures/seen-requests.mjs.
 */
import { createServer, type Socket } from 'node:net';

export interface NaiveServer {
  readonly port: number;
  stop(): void;
}

export function startNaiveServer(): Promise<NaiveServer> {
  const seen: object[] = [];
  const sockets = new Set<Socket>();
  const answer = (head: string): string => {
    const [line = '', ...lines] = head.split('\r\n');
    const [method, url = ''] = line.split(' ');
    if (url === '/seen') return JSON.stringify(seen.splice(0));
    const fields = lines.flatMap((each) => {
      const colon = each.indexOf(':');
      return [each.slice(0, colon), each.slice(colon + 1).trim()];
    });
    seen.push({ method, url, fields, body: '' });
    return `saw ${url}\n`;
  };
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => socket.destroy());
    let received = '';
    socket.setEncoding('latin1').on('data', (text: string) => {
      received += text;
      for (let end = received.indexOf('\r\n\r\n'); end >= 0; end = received.indexOf('\r\n\r\n')) {
        const body = answer(received.slice(0, end).trimStart());
        received = received.slice(end + 4);
        socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`, 'latin1');
      }
    });
  });
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      resolve({
        port: typeof address === 'object' && address ? address.port : 0,
        stop: () => {
          server.close();
          for (const socket of sockets) socket.destroy();
        },
      });
    });
  });
}
