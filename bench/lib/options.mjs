// The command line. Everything that a run may cost (time, runs) is bounded here.
import { parseArgs } from 'node:util';

export const usage = `node bench/run.mjs [options]
  --quick             one short run of a few servers; ends within two minutes
  --servers a,b       only these servers (default: each workload's own list)
  --workloads a,b     only these workloads
  --runs N            measure N times, servers interleaved, and report the median (3)
  --duration S        seconds of each measured window (4)
  --against NAME      the peer of the ratio column (nginx)
  --json [FILE]       write JSON to FILE; without FILE to stdout, and the tables to stderr
  --list              print the names of servers and workloads
  --help`;

/** A mistake of the caller: printed without a stack. */
export class UsageError extends Error {}

export function names(text, known, what) {
  if (text === undefined) return undefined;
  const list = text.split(',').filter((name) => name !== '');
  for (const name of list) {
    if (!known.includes(name)) {
      throw new UsageError(`unknown ${what} "${name}"; known: ${known.join(', ')}`);
    }
  }
  if (list.length === 0) throw new UsageError(`--${what}s names no ${what}`);
  return list;
}

export function number(text, flag, minimum, maximum) {
  const value = Number(text);
  if (text.trim() === '' || !(value >= minimum && value <= maximum)) {
    throw new UsageError(`--${flag} must be from ${minimum} to ${maximum}, not "${text}"`);
  }
  return value;
}

/** parseArgs knows no optional value: a bare --json becomes --json=- . */
export function withOptionalJson(argv) {
  return argv.flatMap((argument, index) => {
    if (argument !== '--json') return [argument];
    const next = argv[index + 1];
    return next === undefined || next.startsWith('--') ? ['--json=-'] : [argument];
  });
}

export function parseOptions(argv, { serverNames, workloadNames }) {
  let values;
  try {
    ({ values } = parseArgs({
      args: withOptionalJson(argv),
      options: {
        quick: { type: 'boolean', default: false },
        json: { type: 'string' },
        servers: { type: 'string' },
        workloads: { type: 'string' },
        runs: { type: 'string' },
        duration: { type: 'string' },
        against: { type: 'string', default: 'nginx' },
        list: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    }));
  } catch (error) {
    throw new UsageError(error.message);
  }
  const quick = values.quick;
  const runs = number(values.runs ?? (quick ? '1' : '3'), 'runs', 1, 99);
  if (!Number.isInteger(runs)) throw new UsageError('--runs must be a whole number');
  return {
    quick,
    json: values.json,
    list: values.list,
    help: values.help,
    servers: names(values.servers, serverNames, 'server'),
    workloads: names(values.workloads, workloadNames, 'workload'),
    against: names(values.against, serverNames, 'server')[0],
    runs,
    durationMs: number(values.duration ?? (quick ? '1' : '4'), 'duration', 0.3, 60) * 1000,
    // Every JavaScript server still compiles in its first seconds, each isolate on its own.
    warmUpMs: quick ? 500 : 6000,
    // What --quick promises, less the build that `npm run bench` does first: cells that would
    // start later than this are left out with a word.
    budgetMs: quick ? 85_000 : Number.POSITIVE_INFINITY,
  };
}
