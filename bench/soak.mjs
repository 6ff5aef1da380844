// Hours of mixed load on the built server, with everything that disturbs it, and a look at whether all that
// was taken came back. `node bench/soak.mjs --help` lists the options; bench/README.md says what it checks.
import { writeFileSync } from 'node:fs';
import { setPriority } from 'node:os';
import { parseArgs } from 'node:util';
import { describeMachine } from './lib/machine.mjs';
import { names, number, UsageError, withOptionalJson } from './lib/options.mjs';
import { scratchFolder } from './lib/scratch.mjs';
import { html } from './soak/html.mjs';
import { kinds } from './soak/kinds.mjs';
import { text } from './soak/report.mjs';
import { rudeKinds } from './soak/rude.mjs';
import { runSoak } from './soak/run.mjs';
import { scenarios } from './soak/scenarios.mjs';

const scenarioNames = Object.keys(scenarios);
const leftOut = [...[...kinds, ...rudeKinds].map(({ name }) => name), 'signals', 'faults'];

const usage = `node bench/soak.mjs [options]
  --minutes N       how long the load lasts (mixed 1, churn 2, idle 1, overload 1)
  --only NAME       of ${scenarioNames.join(', ')} (mixed)
  --count N         faults of --only faults (500)
  --idle N          idle connections (mixed 2000, idle 10000), or in all (overload 20000)
  --scale X         times as many clients (1)
  --without a,b     leave out of mixed: ${leftOut.join(', ')}
  --seed N          of the order and the sizes of requests (1)
  --nice N          added to the nice value of clients and server (0)
  --json [FILE]     write JSON to FILE; without FILE to stdout, and the report to stderr
  --html FILE       write a page with plots
  --help
The exit code is 1 where something failed or was not given back.`;

const say = (line) => process.stderr.write(`${line}\n`);

function parse(argv) {
  let values;
  try {
    ({ values } = parseArgs({
      args: withOptionalJson(argv),
      options: {
        minutes: { type: 'string' },
        only: { type: 'string', default: 'mixed' },
        count: { type: 'string', default: '500' },
        idle: { type: 'string' },
        scale: { type: 'string', default: '1' },
        without: { type: 'string' },
        seed: { type: 'string', default: '1' },
        nice: { type: 'string', default: '0' },
        json: { type: 'string' },
        html: { type: 'string' },
        help: { type: 'boolean', default: false },
      },
    }));
  } catch (error) {
    throw new UsageError(error.message);
  }
  const whole = (value, flag, minimum, maximum) => {
    const result = number(value, flag, minimum, maximum);
    if (!Number.isInteger(result)) throw new UsageError(`--${flag} must be a whole number`);
    return result;
  };
  const [scenario] = names(values.only, scenarioNames, 'only');
  const { minutes, idle } = scenarios[scenario];
  return {
    help: values.help,
    json: values.json,
    html: values.html,
    scenario,
    durationMs: number(values.minutes ?? String(minutes), 'minutes', 0, 24 * 60) * 60_000,
    count: whole(values.count, 'count', 1, 1_000_000),
    // Below the usual limit of descriptors, which a process of clients needs one by one.
    idle: whole(values.idle ?? String(idle), 'idle', 0, scenario === 'overload' ? 40_000 : 15_000),
    scale: number(values.scale, 'scale', 0.1, 20),
    without: names(values.without, leftOut, 'without') ?? [],
    seed: whole(values.seed, 'seed', 1, 2 ** 31 - 1),
    nice: whole(values.nice, 'nice', 0, 19),
  };
}

async function main(options) {
  // Children inherit it.
  if (options.nice > 0) setPriority(options.nice);
  const folder = scratchFolder();
  let endEarly;
  const ending = new Promise((resolve) => {
    endEarly = resolve;
  });
  // The first ends the load and still reports; the second ends at once.
  process.removeAllListeners('SIGINT');
  process.once('SIGINT', () => {
    say('ending early; once more ends at once');
    process.once('SIGINT', () => process.exit(130));
    endEarly();
  });
  const machine = describeMachine();
  const result = { machine, ...(await runSoak(options, folder, say, ending)) };
  process.exitCode = result.passed ? 0 : 1;
  const toStdout = options.json === '-';
  (toStdout ? process.stderr : process.stdout).write(text(result));
  if (options.html !== undefined) writeFileSync(options.html, html(result));
  if (options.json === undefined) return;
  const json = `${JSON.stringify(result, null, 2)}\n`;
  if (toStdout) process.stdout.write(json);
  else writeFileSync(options.json, json);
}

try {
  const options = parse(process.argv.slice(2));
  if (options.help) console.log(usage);
  else await main(options);
} catch (error) {
  process.exitCode = 1;
  say(
    error instanceof UsageError ? `${error.message}\n\n${usage}` : (error.stack ?? String(error)),
  );
}
