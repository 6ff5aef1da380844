// The result of a run as one page without anything from outside: verdict, plots, tables. Light and dark.
import { atTime, headline, kindHeadings, kindRows } from './report.mjs';
import { escaped, plot } from './svg.mjs';

const mb = 1024 * 1024;
const whole = (value) => Math.round(value).toLocaleString('en-US');
const inMb = (value) => `${whole(value)} MB`;
const ms = (value) => `${Number(value.toPrecision(3))} ms`;

/** Each plot, with the keys of a sample that it shows, how to write a value, and what a unit of it is. */
const plots = [
  ['Requests a second', { requestsPerSecond: 'all' }, whole],
  ['Light requests, as their clients saw them', { lightP99Ms: 'p99', lightP50Ms: 'p50' }, ms],
  ['All requests, as the server saw them (10 s)', { serverP99Ms: 'p99', serverP50Ms: 'p50' }, ms],
  ['Memory', { rssBytes: 'RSS', pssBytes: 'PSS' }, inMb, mb],
  ['Descriptors', { descriptors: 'open' }, whole],
  ['Connections', { connections: 'open slots' }, whole],
  ['Connection buffers', { buffersUsed: 'used' }, whole],
  ['Spilled bodies', { spilledBytes: 'memory and folder' }, inMb, mb],
  ['Workers', { workers: 'all', busy: 'busy', lengthyWorkers: 'lengthy' }, whole],
  ['Workers started', { childrenStarted: 'so far' }, whole],
  ['Queue', { queue: 'waiting for a worker' }, whole],
  ['Turn of the listener', { listenerTurnP99Ms: 'p99, upper bound' }, ms],
  ["Delay of the clients' own event loop", { clientDelayMs: 'p99' }, ms],
];

const style = `:root{color-scheme:light dark;--bg:#f6f8fa;--card:#fff;--text:#1f2328;--dim:#59636e;--line:#d1d9e0;--s0:#0969da;--s1:#9a5b00;--s2:#1a7f37;--good:#116329;--bad:#b3261e;--fault:#b3261e;--sigusr2:#8250df;--sighup:#6e7781}
@media(prefers-color-scheme:dark){:root{--bg:#0d1117;--card:#161b22;--text:#e6edf3;--dim:#9ea7b3;--line:#30363d;--s0:#58a6ff;--s1:#e3a34a;--s2:#56d364;--good:#56d364;--bad:#ff8f87;--fault:#ff8f87;--sigusr2:#bc8cff;--sighup:#8b949e}}
*{box-sizing:border-box}body{margin:0 auto;max-width:100rem;padding:1.25rem clamp(.75rem,2.5vw,2rem) 2rem;background:var(--bg);color:var(--text);font:14px/1.45 system-ui,sans-serif}
h1{font-size:1.35rem;margin:0}h2{font-size:1.05rem;margin:1.75rem 0 .5rem}p{margin:.35rem 0}.dim{color:var(--dim)}.good{color:var(--good);font-weight:600}.bad{color:var(--bad);font-weight:600}
.plots{display:grid;gap:.75rem;grid-template-columns:repeat(auto-fit,minmax(min(26rem,100%),1fr))}
figure{margin:0;padding:.6rem .8rem;background:var(--card);border:1px solid var(--line);border-radius:10px;min-width:0}
figcaption{display:flex;flex-wrap:wrap;gap:.2rem 1rem;justify-content:space-between;font-weight:600}.key{display:flex;gap:1rem;font-weight:400;color:var(--dim)}
.key span::before{content:"";display:inline-block;width:1rem;height:.2rem;margin-right:.35rem;vertical-align:middle;background:currentColor}.key .s0::before{background:var(--s0)}.key .s1::before{background:var(--s1)}.key .s2::before{background:var(--s2)}
svg{display:block;width:100%;height:auto}svg text{font:11px system-ui,sans-serif;fill:var(--dim)}.grid{stroke:var(--line)}polyline{fill:none;stroke-width:1.5;stroke-linejoin:round;vector-effect:non-scaling-stroke}
polyline.s0{stroke:var(--s0)}polyline.s1{stroke:var(--s1)}polyline.s2{stroke:var(--s2)}
.mark{stroke:var(--dim);fill:none}.fault{stroke:var(--fault)}.sigusr2{stroke:var(--sigusr2)}.sighup{stroke:var(--sighup)}.failure{stroke:var(--bad);stroke-dasharray:2 2}
.legend span{margin-right:1rem}.legend span::before{content:"";display:inline-block;width:2px;height:.8rem;margin-right:.35rem;vertical-align:middle;background:currentColor}.legend .fault{color:var(--fault)}.legend .sigusr2{color:var(--sigusr2)}.legend .sighup{color:var(--sighup)}
.scroll{overflow-x:auto;background:var(--card);border:1px solid var(--line);border-radius:10px}table{border-collapse:collapse;width:100%}th,td{padding:.28rem .75rem;text-align:left;border-top:1px solid var(--line);font-variant-numeric:tabular-nums;font-weight:400}thead th{border:0;color:var(--dim);font-weight:600}.numbers :is(th,td):not(:first-child){text-align:right}
pre{white-space:pre-wrap;overflow-wrap:anywhere;margin:0;padding:.6rem .8rem;background:var(--card);border:1px solid var(--line);border-radius:10px;font:12.5px/1.4 ui-monospace,monospace}`;

const row = (cells) => `<tr>${cells.map((cell) => `<td>${cell}</td>`).join('')}</tr>`;
const htmlTable = (headings, rows, name = '') =>
  `<div class="scroll"><table class="${name}"><thead><tr>${headings.map((heading) => `<th scope="col">${escaped(heading)}</th>`).join('')}</tr></thead><tbody>${rows.map(row).join('')}</tbody></table></div>`;

const verdictCell = (passed) =>
  passed ? '<span class="good">ok</span>' : '<span class="bad">failed</span>';

function figures({ samples, marks, failures }) {
  const endMs = samples.at(-1)?.atMs ?? 0;
  const all = [...marks, ...failures.map(({ atMs }) => ({ atMs, name: 'failure' }))];
  return plots.map(([title, keys, format, unit = 1]) => {
    const series = Object.entries(keys).map(([key, name]) => ({
      name,
      points: samples.flatMap((sample) =>
        sample[key] === undefined ? [] : [[sample.atMs, sample[key] / unit]],
      ),
    }));
    return plot({ title, series, endMs, marks: all, format });
  });
}

export function html(result) {
  const { about, seed, checks, kinds, failed, failures, marks, strange, machine, passed } = result;
  const names = [...new Set(marks.map(({ name }) => name))];
  const counted = names.map((name) => {
    const count = marks.filter((mark) => mark.name === name).length;
    return `<span class="${escaped(name.toLowerCase())}">${escaped(name)}: ${whole(count)}</span>`;
  });
  const title = `Soak: ${headline(result)}`;
  const parts = [
    `<h1>Soak: ${escaped(result.scenario)}, ${atTime(result.lastedMs)} min: <span class="${passed ? 'good' : 'bad'}">${passed ? 'passed' : 'failed'}</span></h1>`,
    `<p class="dim">${escaped(about)}. Seed ${seed}; ${machine.cores} cores (${escaped(machine.cpu)}), Node ${escaped(machine.node)}, Linux ${escaped(machine.kernel)}.</p>`,
    '<h2>Checks</h2>',
    htmlTable(
      ['', 'Check', 'Expected', 'Seen'],
      checks.map((check) => [
        verdictCell(check.passed),
        ...[check.name, check.expected, check.seen].map(escaped),
      ]),
    ),
    '<h2>Over time</h2>',
    counted.length > 0 ? `<p class="legend dim">Strokes at the top: ${counted.join('')}</p>` : '',
    `<div class="plots">${figures(result).join('')}</div>`,
    '<h2>Clients</h2>',
    htmlTable(
      kindHeadings,
      kindRows(kinds).map((cells) => cells.map(escaped)),
      'numbers',
    ),
  ];
  if (failures.length > 0) {
    parts.push(
      `<h2>Unexpected failures: ${whole(failed)}</h2>`,
      htmlTable(
        ['Time', 'Client', 'What', ''],
        failures.map(({ atMs, kind, what, message }) =>
          [`${(atMs / 1000).toFixed(2)} s`, kind, what, message].map(escaped),
        ),
      ),
    );
  }
  if (strange.length > 0) {
    parts.push('<h2>Said by the server</h2>', `<pre>${escaped(strange.join('\n'))}</pre>`);
  }
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${escaped(title)}</title><style>${style}</style></head>
<body>${parts.join('\n')}</body></html>
`;
}
