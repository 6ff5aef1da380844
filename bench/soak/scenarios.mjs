// What is done to the server: one function each. A scenario has its own directives, offers its load until
// its time is over, and answers with checks of its own; what all of them have in common is in run.mjs.
import { startClient } from '../lib/clients.mjs';
import { host } from '../lib/loopback.mjs';
import { Connection } from './connection.mjs';
import { expectLight, get } from './expect.mjs';
import { commitFault, faultNames } from './faults.mjs';
import { IdleConnections } from './idle.mjs';
import { closedLoop, kinds } from './kinds.mjs';
import { rudeKinds } from './rude.mjs';
import { Clients, every } from './runner.mjs';
import { startServers } from './server.mjs';
import { check } from './verdict.mjs';

const reloadEveryMs = 7_000;
const restartEveryMs = 5_000;
const faultEveryMs = 4_000;
const idleAskEveryMs = 250;
const idleAskedAtOnce = 20;
const lightKind = kinds.find(({ name }) => name === 'light');

/** Settles after the time, or when the run is to end early. */
function lasts(ms, ending) {
  let timer;
  const over = new Promise((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  return Promise.race([over, ending]).finally(() => clearTimeout(timer));
}

/** Everything at once. */
async function mixed(run) {
  const { server, tally, options, random, mark } = run;
  const wanted = [...kinds, ...rudeKinds].filter(({ name }) => !options.without.includes(name));
  const clients = new Clients(server.port, tally, random);
  const idle = new IdleConnections(server.port, tally);
  await idle.open(options.idle);
  clients.start(wanted, options.scale);
  const stops = [every(idleAskEveryMs, () => idle.ask(idleAskedAtOnce))];
  const disturb = (ms, name, act) =>
    stops.push(
      every(ms, () => {
        mark(name);
        return act();
      }),
    );
  if (!options.without.includes('signals')) {
    disturb(reloadEveryMs, 'SIGHUP', () => server.reload());
    disturb(restartEveryMs, 'SIGUSR2', () => server.signal('SIGUSR2'));
  }
  if (!options.without.includes('faults')) {
    let next = 0;
    disturb(faultEveryMs, 'fault', () =>
      commitFault(server.port, faultNames[next++ % faultNames.length], tally),
    );
  }
  await lasts(options.durationMs, run.ending);
  await Promise.all(stops.map((stop) => stop()));
  await clients.stop();
  idle.close();
  return [];
}

/** Those that serve; none where the admin page does not answer. */
async function readyWorkers(server) {
  const page = await server.json().catch(() => null);
  return page === null ? 0 : page.workers.idle + page.workers.busy;
}

/** One fault of each kind a second beside light requests. */
async function faults(run) {
  const { server, tally, options, random, mark } = run;
  const clients = new Clients(server.port, tally, random);
  clients.start([lightKind], options.scale);
  let committed = 0;
  const under = new Set();
  const stop = every(1000 / faultNames.length, async () => {
    // Not faster than workers can be replaced, which on a machine that is busy otherwise takes seconds:
    // one that is well has to be left for the light requests.
    if (committed >= options.count || (await readyWorkers(server)) - under.size < 2) return;
    const name = faultNames[committed++ % faultNames.length];
    mark('fault');
    // The next one does not wait for this one's end: so more than one worker may be ill at a time.
    const fault = commitFault(server.port, name, tally).finally(() => under.delete(fault));
    under.add(fault);
  });
  while (committed < options.count && run.goesOn()) await lasts(100, run.ending);
  await stop();
  await Promise.all(under);
  await clients.stop();
  const now = tally.summary();
  const answered = faultNames.reduce((sum, name) => {
    const key = `fault: ${name}`;
    return sum + (now[key]?.rounds ?? 0);
  }, 0);
  const seconds = tally.now() / 1000;
  const rate = `${(committed / seconds).toFixed(1)} a second`;
  const status = await server.status();
  const deaths =
    status.MpmChildExitsError +
    status.MpmChildExitsExited +
    status.MpmChildExitsOutOfMemory +
    status.MpmChildExitsDeadline;
  const expected = String(committed);
  return [
    check('faults answered 502 or 504', answered === committed, expected, String(answered)),
    // Two that are in one worker at the time end it once.
    check('workers that died of them', deaths <= committed, `at most ${committed}`, String(deaths)),
    check('faults a second', true, 'not judged', rate),
  ];
}

const churnRestartMs = 2_000;
const churnReloadMs = 3_000;
const quietShare = 0.15;

/** The whole of the load on recycling: 64 connections, no faults, so nothing at all may fail. */
async function churn(run) {
  const { server, tally, options, random, mark } = run;
  const clients = new Clients(server.port, tally, random);
  clients.start([closedLoop], options.scale);
  const quietMs = Math.min(20_000, options.durationMs * quietShare);
  await lasts(quietMs, run.ending);
  const quietSamples = run.samples.length;
  const stops = [
    every(churnRestartMs, () => {
      mark('SIGUSR2');
      server.signal('SIGUSR2');
    }),
    every(churnReloadMs, () => {
      mark('SIGHUP');
      server.reload();
    }),
  ];
  await lasts(options.durationMs, run.ending);
  await Promise.all(stops.map((stop) => stop()));
  await clients.stop();
  const { children, server: about } = await server.json();
  const middle = (samples) => {
    const values = samples.flatMap(({ lightP99Ms }) => lightP99Ms ?? []).sort((a, b) => a - b);
    return values[values.length >> 1] ?? Number.NaN;
  };
  // The quiet part begins when the first samples, with their compilation, are over.
  const quiet = middle(run.samples.slice(Math.ceil(quietSamples / 3), quietSamples));
  const during = middle(run.samples.slice(quietSamples));
  const p99 = `${during.toFixed(1)} ms, quiet ${quiet.toFixed(1)} ms: ${(during / quiet).toFixed(2)} times`;
  return [
    check('generations', about.generation > 1, 'more than 1', String(about.generation)),
    check('children started', children.started > 10, 'more than 10', String(children.started)),
    // Shown and not judged: on a machine that others use it says more about them.
    check('p99 of the clients, median over seconds', true, 'not judged', p99),
  ];
}

const blockingAtOnce = 64;
const blockMs = 500;
const idleCycles = 3;
const floorDeadlineMs = 60_000;

/** Idle connections need no children; a burst of blocking requests does, and then no longer. */
async function idle(run) {
  const { server, tally, options, mark } = run;
  const connections = new IdleConnections(server.port, tally);
  mark('open');
  await connections.open(options.idle);
  const checks = [
    check(
      'idle connections',
      connections.count === options.idle,
      String(options.idle),
      String(connections.count),
    ),
  ];
  let children = 0;
  const childrenNow = async () => {
    // The samples say where the page does not answer; here the last count stands in for it.
    const page = await server.json().catch(() => null);
    if (page !== null) {
      const { starting, idle: free, busy, draining } = page.workers;
      children = starting + free + busy + draining;
    }
    return children;
  };
  // Opening them took a child or two more; those go first.
  const watchedFrom = startServers;
  await until(async () => (await childrenNow()) === watchedFrom, floorDeadlineMs);
  const firstSample = run.samples.length;
  await lasts(options.durationMs, run.ending);
  const seen = run.samples.slice(firstSample).map(({ workers }) => workers);
  const range = `${Math.min(...seen)} .. ${Math.max(...seen)}`;
  checks.push(
    check(
      `children beside ${options.idle} idle connections`,
      seen.every((count) => count === watchedFrom),
      String(watchedFrom),
      range,
    ),
  );
  const descriptors = [];
  for (let cycle = 1; cycle <= idleCycles && run.goesOn(); cycle++) {
    mark('burst');
    const burst = await block(server, tally, childrenNow);
    const enough = burst.most === options.maxWorkers;
    checks.push(
      check(
        `burst ${cycle}: children`,
        enough,
        String(options.maxWorkers),
        `${burst.most}, all after ${Math.round(burst.allAfterMs)} ms; all answered after ${Math.round(burst.tookMs)} ms`,
      ),
    );
    const floorAfterMs = await until(
      async () => (await childrenNow()) === watchedFrom,
      floorDeadlineMs,
    );
    checks.push(
      check(
        `burst ${cycle}: back to the floor`,
        floorAfterMs !== null,
        `${watchedFrom} within ${floorDeadlineMs / 1000} s`,
        floorAfterMs === null
          ? String(await childrenNow())
          : `after ${(floorAfterMs / 1000).toFixed(1)} s`,
      ),
    );
    await run.sample();
    descriptors.push(run.samples.at(-1)?.descriptors);
  }
  const flat = descriptors.every((count) => count === descriptors[0]);
  checks.push(check('descriptors after each burst', flat, 'all the same', descriptors.join(', ')));
  await connections.ask(connections.count);
  connections.close();
  return checks;
}

/** 64 requests at once that block their threads; the most children meanwhile, and when there were so many. */
async function block(server, tally, childrenNow) {
  const beganMs = performance.now();
  let over = false;
  const requests = Promise.all(
    Array.from({ length: blockingAtOnce }, async () => {
      const sentMs = tally.now();
      let connection = null;
      try {
        connection = await Connection.open(server.port);
        await connection.send(get(`/block/${blockMs}`, 'Connection: close'));
        expectLight(await connection.response());
        tally.of('blocking').took(tally.now() - sentMs);
      } catch (error) {
        tally.failure('blocking', error, sentMs);
      }
      connection?.close();
    }),
  ).finally(() => {
    over = true;
  });
  let most = 0;
  let allAfterMs = 0;
  while (!over) {
    const count = await childrenNow();
    if (count > most) {
      most = count;
      allAfterMs = performance.now() - beganMs;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  await requests;
  return { most, allAfterMs, tookMs: performance.now() - beganMs };
}

/** Milliseconds until it holds, or null where it does not within the bound. A look that fails is repeated. */
export async function until(holds, boundMs) {
  const began = performance.now();
  for (;;) {
    if (await holds().catch(() => false)) return performance.now() - began;
    if (performance.now() - began > boundMs) return null;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

const crowds = 4;
const roomFor = 5_000;
const crowdTimeoutMs = 30_000;
const serviceWithinMs = 1_000;

/** Many more clients than there is room for, beside a few that are inside and in use. */
async function overload(run) {
  const { server, tally, options, random, mark } = run;
  const clients = new Clients(server.port, tally, random);
  clients.start([lightKind], options.scale);
  const connections = Math.ceil(options.idle / crowds);
  const crowd = Array.from({ length: crowds }, () =>
    startClient('../soak/crowd.mjs', { host, port: server.port, connections }),
  );
  const told = (command) => Promise.all(crowd.map(({ ask }) => ask(command, crowdTimeoutMs)));
  const sum = (counts, key) => counts.reduce((total, one) => total + one[key], 0);
  let counts;
  let most;
  let firstMs;
  try {
    mark('crowd');
    await told('begin');
    await lasts(options.durationMs, run.ending);
    counts = await told('counts');
    most = Math.max(...run.samples.map((sample) => sample.connections));
  } finally {
    mark('crowd gone');
    await Promise.all(crowd.map(({ stop }) => stop()));
    const gone = performance.now();
    // A client of its own, which was not inside before.
    firstMs = await until(async () => {
      const fresh = await Connection.open(server.port);
      await fresh.send(get('/light', 'Connection: close'));
      expectLight(await fresh.response());
      fresh.close();
      return true;
    }, crowdTimeoutMs).then((ms) => (ms === null ? null : performance.now() - gone));
  }
  await clients.stop();
  const offered = connections * crowds;
  const about = ['answered', 'letGo', 'unavailable', 'refused']
    .map((key) => `${key} ${sum(counts, key)}`)
    .join(', ');
  const served = firstMs !== null && firstMs <= serviceWithinMs;
  return [
    check(`of ${offered} clients`, sum(counts, 'answered') > 0, 'some answered', about),
    check('connections at the same time', most <= roomFor, `at most ${roomFor}`, String(most)),
    // Both close at the same moment, as with any server that lets keep-alive connections go
    // (RFC 9110, section 9.3.1); those in use, which the light requests are, must not see it.
    check(
      'requests on their way to one that was let go',
      true,
      'not judged',
      String(sum(counts, 'cut')),
    ),
    check('responses that are none', sum(counts, 'wrong') === 0, '0', String(sum(counts, 'wrong'))),
    check(
      'a new client after the crowd has gone',
      served,
      `served within ${serviceWithinMs} ms`,
      firstMs === null ? 'not served' : `${Math.round(firstMs)} ms`,
    ),
  ];
}

const idleWorkers = 16;

export const scenarios = {
  mixed: {
    about: 'all kinds of work, recycling, reloads, restarts and faults',
    directives: { 'max-connections-per-child': 1000, 'max-requests-per-child': 5000 },
    minutes: 1,
    idle: 2000,
    act: mixed,
  },
  faults: {
    about: 'a fault of each of four kinds a second beside light requests',
    // So that a heap is exhausted within the second.
    directives: { 'max-heap-per-child': '32m' },
    minutes: 0,
    idle: 0,
    act: faults,
  },
  churn: {
    about:
      '64 connections without a pause; recycling every 200 requests, SIGUSR2 every 2 s, SIGHUP every 3 s',
    directives: { 'max-requests-per-child': 200 },
    minutes: 2,
    idle: 0,
    act: churn,
  },
  idle: {
    about: 'idle connections, then 64 blocking requests at once, three times',
    directives: { 'max-request-workers': idleWorkers },
    minutes: 1,
    idle: 10_000,
    maxWorkers: idleWorkers,
    act: idle,
  },
  overload: {
    about: `clients that come again and again, with room for ${roomFor}, beside some that are inside`,
    directives: { 'max-connections': roomFor },
    minutes: 1,
    idle: 20_000,
    act: overload,
  },
};
