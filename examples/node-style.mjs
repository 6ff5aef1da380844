// A handler as node:http has it: `(req, res)`, two parameters. Express and Connect apps, and Koa's
// `app.callback()`, are exported the same way.
export default function handler(request, response) {
  if (request.method === 'POST') {
    response.writeHead(200, { 'Content-Type': 'application/octet-stream' });
    request.pipe(response);
    return;
  }
  response.setHeader('Content-Type', 'text/plain; charset=utf-8');
  response.end(`Hello ${request.socket.remoteAddress}, you asked for ${request.url}\n`);
}
