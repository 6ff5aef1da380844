// The server behind the proxies, and what it sees of them: upstream.mjs {"port":N,"bodyFile":PATH,"greeting":TEXT}.
// Answers {"command":"seen"} over IPC with when its responses were asked for and done. Its own sockets hold
// as little as everybody's here (lib/own-network.mjs), so that done means taken by the proxy.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';

const { port, bodyFile, greeting } = JSON.parse(process.argv[2]);
const body = readFileSync(bodyFile);
const binary = { 'content-type': 'application/octet-stream', 'content-length': body.length };
const text = { 'content-type': 'text/plain', 'content-length': greeting.length };

let asked = 0;
let underWay = 0;
let mostUnderWay = 0;
let cutOff = 0;
let firstAskedMs = 0;
let lastAskedMs = 0;
let lastDoneMs = 0;
let heldMs = 0;
let longestMs = 0;

function answerLarge(response) {
  const begun = performance.now();
  if (asked++ === 0) firstAskedMs = begun;
  lastAskedMs = begun;
  mostUnderWay = Math.max(mostUnderWay, ++underWay);
  response.on('close', () => {
    underWay--;
    if (!response.writableFinished) cutOff++;
    lastDoneMs = performance.now();
    const tookMs = lastDoneMs - begun;
    heldMs += tookMs;
    longestMs = Math.max(longestMs, tookMs);
  });
  response.writeHead(200, binary).end(body);
}

const server = createServer((request, response) => {
  if (request.url === '/large') answerLarge(response);
  else response.writeHead(200, text).end(greeting);
});
server.keepAliveTimeout = 60_000;
server.requestTimeout = 0;
server.listen({ port, host: '127.0.0.1', backlog: 4096 }, () => process.on('message', tell));

// The bench has gone.
process.on('disconnect', () => process.exit());

function tell() {
  process.send({
    asked,
    underWay,
    mostUnderWay,
    cutOff,
    askedWithinMs: lastAskedMs - firstAskedMs,
    freeAfterMs: lastDoneMs - lastAskedMs,
    heldMeanMs: asked === 0 ? 0 : heldMs / asked,
    heldMostMs: longestMs,
  });
}
