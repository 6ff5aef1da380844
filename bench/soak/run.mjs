// One run: server up, warmed, looked at; the scenario; then everything given back and looked at again.
import { kinds } from './kinds.mjs';
import { seededRandom } from './random.mjs';
import { Clients, every } from './runner.mjs';
import { holdings, Sampler } from './sampler.mjs';
import { scenarios, until } from './scenarios.mjs';
import { SoakServer, startServers } from './server.mjs';
import { Tally } from './tally.mjs';
import * as verdict from './verdict.mjs';

const sampleEveryMs = 1000;
const warmUpMs = 1500;
/** Lengthy workers go when they had nothing to do for a minute. */
const settleBoundMs = 90_000;
const settleWithoutLengthyMs = 60_000;
const maxMarks = 5000;

/** Every kind of work once, so that what is opened once per process is open; then fresh workers. */
async function warmUp(server, tally, random) {
  const clients = new Clients(server.port, tally, random);
  clients.start(
    kinds.filter(({ name }) => name !== 'lengthy'),
    0.1,
  );
  await new Promise((resolve) => setTimeout(resolve, warmUpMs));
  await clients.stop();
  await server.restartWorkers();
}

/** What the server holds once it has come to rest; the last look where it does not within the bound. */
async function rest(server, before, boundMs) {
  let now = null;
  await until(async () => {
    now = await holdings(server);
    return before === null
      ? now.unsettled === 0 && now.connections === 0 && now.children === startServers
      : verdict.settled(before, now);
  }, boundMs);
  if (now === null) throw new Error('the admin page does not answer');
  return now;
}

/**
 * @param options the scenario's name, durationMs, idle, count, scale, seed, without
 * @param folder for the log and the files
 * @param say progress, a line at a time
 * @param ending settles when the run is to end early
 */
export async function runSoak(options, folder, say, ending) {
  const scenario = scenarios[options.scenario];
  const random = seededRandom(options.seed);
  const server = await SoakServer.start(folder, scenario.directives);
  const stops = [];
  try {
    const settleMs = options.without.includes('lengthy') ? settleWithoutLengthyMs : settleBoundMs;
    await warmUp(server, new Tally(random), random);
    const before = await rest(server, null, settleMs);
    const tally = new Tally(random);
    const sampler = new Sampler(server, tally);
    const marks = [];
    const early = new Promise((resolve) => {
      void ending.then(resolve);
      stops.push(every(200, () => server.ended !== undefined && resolve()));
    });
    let over = false;
    void early.then(() => {
      over = true;
    });
    stops.push(every(sampleEveryMs, () => sampler.sample()));
    stops.push(
      every(30_000, () => say(`${Math.round(tally.now() / 1000)} s: ${tally.failed} failures`)),
    );
    say(`${options.scenario}: ${scenario.about}`);
    const own = await scenario.act({
      server,
      tally,
      random,
      options: { ...options, maxWorkers: scenario.maxWorkers },
      samples: sampler.samples,
      sample: () => sampler.sample(),
      mark: (name) => {
        if (marks.length < maxMarks) marks.push({ atMs: Math.round(tally.now()), name });
      },
      ending: early,
      goesOn: () => !over,
    });
    const loadEndedMs = tally.now();
    say('the load has ended; waiting until all has been given back');
    const after = await givenBack(server, before, settleMs).catch((error) => {
      tally.failure('server', error, loadEndedMs);
      return null;
    });
    await Promise.all(stops.map((stop) => stop()));
    const output = server.output();
    const end = await server.stop();
    const loaded = sampler.samples.filter(({ atMs }) => atMs <= loadEndedMs);
    const checks = [
      verdict.failureCheck(tally.failed),
      ...own,
      ...(after === null ? [] : verdict.returnChecks(before, after)),
      ...(options.scenario === 'idle' ? [] : verdict.memoryChecks(loaded, loadEndedMs)),
      verdict.outputCheck(output),
      verdict.endCheck(end),
    ];
    return {
      scenario: options.scenario,
      about: scenario.about,
      seed: options.seed,
      lastedMs: Math.round(loadEndedMs),
      passed: checks.every(({ passed }) => passed),
      checks,
      kinds: tally.summary(),
      failed: tally.failed,
      failures: tally.failures,
      marks,
      samples: sampler.samples,
      strange: verdict.strangeLines(output).slice(0, 50),
    };
  } finally {
    await Promise.all(stops.map((stop) => stop()));
    await server.stop();
  }
}

/** What is held at rest, with workers as new as they were before the run. */
async function givenBack(server, before, boundMs) {
  const atRest = async () => {
    const { unsettled, connections, children, lengthyWorkers } = await holdings(server);
    const others = connections + lengthyWorkers + unsettled;
    return others === 0 && children === before.children;
  };
  await until(atRest, boundMs);
  // Workers keep open what they have sent of late: files, memory files.
  await server.restartWorkers();
  return rest(server, before, boundMs);
}
