// The bench: starts each server on loopback, drives it with a workload, prints one table per
// workload. `npm run bench -- --help` lists the options; bench/README.md says what the figures
// mean.
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { runCell, StartError } from './lib/cell.mjs';
import { installPeers } from './lib/install.mjs';
import { describeMachine } from './lib/machine.mjs';
import { parseOptions, UsageError, usage } from './lib/options.mjs';
import { formatMachine, formatSummary, summarise } from './lib/report.mjs';
import { scratchFolder } from './lib/scratch.mjs';
import { servers } from './servers/index.mjs';
import { workloads } from './workloads/index.mjs';

const startedAt = Date.now();
const burnProgram = fileURLToPath(new URL('servers/burn.mjs', import.meta.url));
const say = (text) => process.stderr.write(`${text}\n`);

/** Which servers each workload runs: the named ones that can, or the workload's own list. */
function plan(options) {
  const chosen = workloads.filter(({ name }) => options.workloads?.includes(name) ?? true);
  return chosen.map((workload) => {
    const wanted = options.servers ?? (options.quick ? workload.quickServers : workload.servers);
    const able = servers.filter(
      ({ name, burns, files = false, timers = false, proxies = false }) =>
        wanted.includes(name) &&
        (burns || !workload.needsBurn) &&
        (files || !workload.needsFiles) &&
        (timers || !workload.needsTimer) &&
        proxies === (workload.needsProxy ?? false),
    );
    return { workload, servers: able };
  });
}

/** Sees which of the servers are there; a missing one is left out with a word. */
async function probeServers(wanted, tempDir) {
  const packages = [...new Set(wanted.flatMap((server) => server.packages ?? []))];
  const installFault = await installPeers(packages, say);
  if (installFault !== undefined) say(installFault);
  const present = [];
  const missing = [];
  for (const server of wanted) {
    let found;
    try {
      found = await server.probe({ dir: tempDir });
    } catch (error) {
      found = { missing: error.message.split('\n')[0] };
    }
    if (found.missing === undefined) present.push({ server, ...found });
    else missing.push({ server, reason: found.missing });
  }
  return { present, missing };
}

/** The environment of each server: how many steps of the burn loop its runtime does in 1 ms. */
function calibrateBurn(present, needed) {
  const stepsPerMs = new Map();
  if (!needed) return () => ({});
  for (const { server, runtime = process.execPath } of present) {
    if (!server.burns || stepsPerMs.has(runtime)) continue;
    const text = execFileSync(runtime, [burnProgram], { encoding: 'utf8', timeout: 30_000 });
    stepsPerMs.set(runtime, text.trim());
  }
  return ({ runtime = process.execPath }) => ({
    BENCH_BURN_PER_MS: stepsPerMs.get(runtime) ?? '',
  });
}

async function main(options, tempDir) {
  const planned = plan(options);
  const wanted = servers.filter((server) =>
    planned.some((entry) => entry.servers.includes(server)),
  );
  const { present, missing } = await probeServers(wanted, tempDir);
  const environmentOf = calibrateBurn(
    present,
    planned.some(({ workload }) => workload.needsBurn),
  );
  const print = options.json === '-' ? say : (text) => process.stdout.write(`${text}\n`);
  const machine = describeMachine();
  print(formatMachine(machine, present, missing));

  const notes = [];
  const note = (text) => {
    notes.push(text);
    say(text);
  };
  const broken = new Set(); // servers that did not start
  const summaries = [];
  for (const { workload, servers: able } of planned) {
    const entries = present.filter(({ server }) => able.includes(server));
    const cells = new Map(); // in the order of the table
    for (const { server } of entries) cells.set(server.name, new Map());
    for (let run = 0; run < options.runs; run++) {
      // Interleaved run by run, and each run begins with another server.
      const turn = run % Math.max(entries.length, 1);
      for (const entry of [...entries.slice(turn), ...entries.slice(0, turn)]) {
        const { server } = entry;
        const label = `${workload.name} run ${run + 1} ${server.name}`;
        if (broken.has(server)) continue;
        if (Date.now() - startedAt > options.budgetMs) {
          note(`${label}: left out, the time of --quick is spent`);
          continue;
        }
        try {
          const env = environmentOf(entry);
          const figures = await runCell({ workload, server, options, env, tempDir, say: note });
          const { remark, ...numbers } = figures;
          if (remark !== undefined) note(`${label}: ${remark}`);
          cells.get(server.name).set(run, numbers);
        } catch (error) {
          if (error instanceof StartError) broken.add(server);
          process.exitCode = 1;
          note(`FAILED ${label}: ${error.message}`);
        }
      }
    }
    for (const [name, runs] of cells) if (runs.size === 0) cells.delete(name);
    if (cells.size === 0) continue;
    const summary = summarise(workload, cells, options.against);
    summaries.push(summary);
    print(formatSummary(workload, summary));
  }
  if (notes.length > 0) print(`notes:\n${notes.map((text) => `- ${text}`).join('\n')}\n`);
  print(`took ${((Date.now() - startedAt) / 1000).toFixed(0)} s`);

  if (options.json === undefined) return;
  const report = {
    date: new Date(startedAt).toISOString(),
    machine,
    options: { runs: options.runs, durationMs: options.durationMs, quick: options.quick },
    versions: Object.fromEntries(present.map(({ server, version }) => [server.name, version])),
    missing: Object.fromEntries(missing.map(({ server, reason }) => [server.name, reason])),
    workloads: summaries,
    notes,
  };
  const text = `${JSON.stringify(report, null, 2)}\n`;
  if (options.json === '-') process.stdout.write(text);
  else writeFileSync(options.json, text);
}

const tempDir = scratchFolder();

try {
  const serverNames = servers.map(({ name }) => name);
  const workloadNames = workloads.map(({ name }) => name);
  const options = parseOptions(process.argv.slice(2), { serverNames, workloadNames });
  if (options.help) console.log(usage);
  else if (options.list) {
    console.log(`servers: ${serverNames.join(', ')}\nworkloads: ${workloadNames.join(', ')}`);
  } else await main(options, tempDir);
} catch (error) {
  process.exitCode = 1;
  say(
    error instanceof UsageError ? `${error.message}\n\n${usage}` : (error.stack ?? String(error)),
  );
}
