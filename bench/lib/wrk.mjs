// Runs wrk, always with a bound on its time, and turns its summary into figures.
import { fileURLToPath } from 'node:url';
import { start, stop } from './processes.mjs';

const script = fileURLToPath(new URL('wrk.lua', import.meta.url));
const requestTimeoutS = 10;

function parse(output) {
  const line = /^BENCH (\{.*\})$/m.exec(output)?.[1];
  if (line === undefined) {
    throw new Error(`wrk gave no summary: ${output.trim().slice(-300) || 'no output'}`);
  }
  const raw = JSON.parse(line);
  const { connect, read, write, status, timeout } = raw;
  const durationS = raw.durationUs / 1e6;
  return {
    requests: raw.requests,
    durationS,
    requestsPerS: raw.requests / durationS,
    p50Ms: raw.p50Us / 1000,
    p99Ms: raw.p99Us / 1000,
    p999Ms: raw.p999Us / 1000,
    maxMs: raw.maxUs / 1000,
    // False: wrk's correction could not be undone (see wrk.lua) and the percentiles hold it.
    measuredLatencies: raw.measured,
    failed: connect + read + write + status + timeout,
    errors: { connect, read, write, status, timeout },
  };
}

/**
 * Starts a load and returns it: `result` settles with its figures, `interrupt()` ends it early.
 * wrk counts whole seconds only; a fraction is cut by SIGINT, upon which it still reports.
 */
export function startWrk({ url, connections, durationMs, headers = [], pipeline = 1, limit = 0 }) {
  const wholeSeconds = Math.ceil(durationMs / 1000);
  const running = start(
    'wrk',
    [
      ...['-t', '1', '-c', String(connections), '-d', `${wholeSeconds}s`],
      ...['--timeout', `${requestTimeoutS}s`, '-s', script],
      ...headers.flatMap((header) => ['-H', header]),
      url,
    ],
    {
      env: {
        BENCH_CONNECTIONS: String(connections),
        BENCH_PIPELINE: String(pipeline),
        BENCH_LIMIT: String(limit),
      },
      keepAllOutput: true,
    },
  );
  const interrupt = () => {
    if (running.ended === undefined) running.child.kill('SIGINT');
  };
  const cut =
    durationMs < wholeSeconds * 1000 ? setTimeout(interrupt, Math.max(durationMs, 250)) : undefined;
  const guard = setTimeout(() => stop(running, 0), durationMs + requestTimeoutS * 1000 + 5000);
  const result = running.exited.then(() => {
    clearTimeout(cut);
    clearTimeout(guard);
    return parse(running.output());
  });
  result.catch(() => {}); // the caller awaits it later, perhaps after another failure
  return { result, interrupt };
}

export const runWrk = (options) => startWrk(options).result;
