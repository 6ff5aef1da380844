/**
 * `npm run simulate`: plays seeds until one fails or the last is through.
 */
import { parseArgs } from 'node:util';
import { loadProduction } from './production.ts';
import { simulate } from './simulate.ts';

const USAGE = `usage: npm run simulate -- [--seed N | --seeds A..B] [--steps N] [--minutes M]
  --seed N       plays this seed
  --seeds A..B   plays these, the last included
  --steps N      steps of each seed, 10000 unless told
  --trace        tells of every native call and every move of a connection as well
  --minutes M    begins no seed after so long; without seeds it begins at a random one
A step is one callback of a thread or one act of a client. A seed that fails is printed with what
happened before, and the exit code is 1; the same seed and steps fail in the same way again.`;

/** Begins where no one has been yet. */
const MAX_SEED = 2 ** 40;

interface Plan {
  readonly first: number;
  readonly last: number;
  readonly steps: number;
  readonly until: number;
  readonly tracing: boolean;
}

function planFrom(args: string[]): Plan {
  const { values } = parseArgs({
    args,
    options: {
      seed: { type: 'string' },
      seeds: { type: 'string' },
      steps: { type: 'string' },
      minutes: { type: 'string' },
      trace: { type: 'boolean' },
      help: { type: 'boolean' },
    },
  });
  if (values.help === true) {
    console.log(USAGE);
    process.exit(0);
  }
  const tracing = values.trace === true;
  const steps = numberOf('steps', values.steps ?? '10000', 1);
  const minutes = values.minutes === undefined ? 0 : Number(values.minutes);
  if (!(minutes >= 0))
    throw new Error(`--minutes ${values.minutes}: a number of minutes is needed`);
  const until = minutes > 0 ? Date.now() + minutes * 60_000 : Number.POSITIVE_INFINITY;
  if (values.seeds !== undefined) {
    const [first, last] = values.seeds.split('..').map((part) => numberOf('seeds', part, 0));
    if (last === undefined || (first as number) > last) {
      throw new Error(`--seeds ${values.seeds}: two numbers as in 1..100 are needed`);
    }
    return { first: first as number, last, steps, until, tracing };
  }
  if (values.seed === undefined && minutes > 0) {
    const first = Math.floor(Math.random() * MAX_SEED);
    return { first, last: Number.MAX_SAFE_INTEGER, steps, until, tracing };
  }
  const seed = numberOf('seed', values.seed ?? '1', 0);
  return { first: seed, last: seed, steps, until, tracing };
}

function numberOf(name: string, text: string, least: number): number {
  const number = Number(text);
  if (/^\d+$/.test(text) && Number.isSafeInteger(number) && number >= least) return number;
  throw new Error(`--${name} ${text}: a whole number from ${least} on is needed`);
}

async function main(): Promise<void> {
  let plan: Plan;
  try {
    plan = planFrom(process.argv.slice(2));
  } catch (error) {
    console.error(`${(error as Error).message}\n${USAGE}`);
    process.exitCode = 2;
    return;
  }
  const code = await loadProduction((name) => import(`../../src/${name}.js`));
  const began = Date.now();
  const cpuBegan = process.cpuUsage();
  const sum = { seeds: 0, steps: 0, operations: 0, requests: 0, deaths: 0 };
  const counted: Record<string, number> = {};
  const total = () => {
    const seconds = (Date.now() - began) / 1000;
    const { user, system } = process.cpuUsage(cpuBegan);
    const cpuSeconds = (user + system) / 1e6;
    const speed = Math.round(sum.steps / Math.max(cpuSeconds, 0.001));
    return (
      `${sum.seeds} seeds, ${sum.steps} steps (${speed} a second of processor time), ${sum.operations} operations, ` +
      `${sum.requests} requests, ${sum.deaths} deaths of workers, ${seconds.toFixed(1)} s`
    );
  };
  let toldAt = began;
  for (let seed = plan.first; seed <= plan.last && Date.now() < plan.until; seed++) {
    const outcome = simulate(code, seed, plan.steps, { tracing: plan.tracing });
    sum.seeds++;
    sum.steps += outcome.steps;
    sum.operations += outcome.operations;
    sum.requests += outcome.requests;
    sum.deaths += outcome.deaths;
    for (const [name, count] of Object.entries(outcome.counts)) {
      counted[name] = (counted[name] ?? 0) + count;
    }
    if (outcome.violation !== null) {
      console.error(`seed ${seed}, step ${outcome.steps}: ${outcome.violation}\n`);
      console.error(`again: npm run simulate -- --seed ${seed} --steps ${plan.steps}`);
      process.exitCode = 1;
      break;
    }
    if (Date.now() - toldAt < 60_000) continue;
    toldAt = Date.now();
    console.log(total());
  }
  console.log(total());
  console.log(`of these: ${JSON.stringify(counted)}`);
}

await main();
