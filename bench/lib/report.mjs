// From the figures of all runs to tables and JSON.
import { median } from './stats.mjs';

/** Medians of each figure over the runs of one server. */
function medians(runs) {
  const figures = {};
  for (const key of new Set(runs.flatMap((run) => Object.keys(run)))) {
    const value = median(runs.map((run) => run[key]));
    if (value !== undefined) figures[key] = value;
  }
  // Failures are never averaged away.
  figures.failed = runs.reduce((sum, run) => sum + (run.failed ?? 0), 0);
  return figures;
}

/**
 * The ratio to the peer within each run, then the median of those: what disturbed the machine
 * during a run disturbed both.
 */
function ratioTo(peerRuns, runs, key) {
  const pairs = [];
  for (const [number, figures] of runs) {
    const peer = peerRuns?.get(number)?.[key];
    if (peer > 0 && figures[key] !== undefined) pairs.push(figures[key] / peer);
  }
  return median(pairs);
}

/** `cells`: server name -> run number -> figures. */
export function summarise(workload, cells, against) {
  let peer = against;
  if (!cells.has(peer) && workload.ratio.fallback !== undefined) peer = workload.ratio.fallback;
  const rows = [...cells].map(([server, runs]) => ({
    server,
    ...medians([...runs.values()]),
    ratio: ratioTo(cells.get(peer), runs, workload.ratio.key),
    runs: [...runs.values()],
  }));
  return { workload: workload.name, title: workload.title, against: peer, rows };
}

export function table(headings, rows) {
  const widths = headings.map((heading, column) =>
    Math.max(heading.length, ...rows.map((row) => row[column].length)),
  );
  const line = (cells) =>
    `| ${cells.map((cell, column) => (column === 0 ? cell.padEnd(widths[0]) : cell.padStart(widths[column]))).join(' | ')} |`;
  const rule = widths.map((width, column) =>
    column === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`,
  );
  return [line(headings), line(rule), ...rows.map(line)].join('\n');
}

export function formatSummary(workload, summary) {
  const { columns, ratio } = workload;
  const shown = columns.filter(({ key }) => summary.rows.some((row) => row[key] !== undefined));
  const headings = [
    'server',
    ...shown.map((column) => column.heading),
    `${ratio.what} / ${summary.against}`,
  ];
  const rows = summary.rows.map((row) => [
    row.server,
    ...shown.map(({ key, format }) => (row[key] === undefined ? '-' : format(row[key]))),
    row.ratio === undefined ? '-' : row.ratio.toFixed(2),
  ]);
  return `## ${summary.workload}: ${summary.title}\n\n${table(headings, rows)}\n`;
}

export function formatMachine(machine, present, missing) {
  const lines = [
    `machine: ${machine.cores} cores (${machine.cpu}), ${machine.memoryMb} MB, Linux ${machine.kernel}, load ${machine.loadAverage.toFixed(2)}`,
    `tools: node ${machine.node}, wrk ${machine.wrk}, on the same machine as the servers`,
    ...present.map(({ server, version }) => `${server.name}: ${server.about} (${version})`),
    ...missing.map(({ server, reason }) => `${server.name}: left out: ${reason}`),
  ];
  return `${lines.join('\n')}\n`;
}
