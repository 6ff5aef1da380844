// A plot as SVG: lines over time, with the moments when something was done to the server. Pure functions.

const width = 480;
const height = 170;
const margin = { left: 58, right: 12, top: 28, bottom: 24 };
const plotWidth = width - margin.left - margin.right;
const plotHeight = height - margin.top - margin.bottom;
const markRow = 8;
const maxPoints = 1200;
const timeSteps = [1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14_400];

export const escaped = (value) =>
  String(value).replace(/[&<>"]/g, (sign) => `&#${sign.charCodeAt(0)};`);

/** A step of 1, 2 or 5 times a power of ten, so that about `count` of them make `range`. */
export function niceStep(range, count) {
  const rough = range / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  return power * ([1, 2, 5].find((factor) => factor * power >= rough) ?? 10);
}

/** Of many samples the largest in each place: a peak is not thinned away. */
function thinned(points) {
  if (points.length <= maxPoints) return points;
  const each = Math.ceil(points.length / maxPoints);
  const kept = [];
  for (let at = 0; at < points.length; at += each) {
    const some = points.slice(at, at + each);
    kept.push(some.reduce((most, point) => (point[1] > most[1] ? point : most)));
  }
  return kept;
}

const rounded = (value) => Math.round(value * 10) / 10;

/**
 * @param series [{ name, points: [[atMs, value]] }], at most four
 * @param marks [{ atMs, name }]
 * @param format a value as text, for the axis
 */
export function plot({ title, series, endMs, marks, format, fromZero = true }) {
  const values = series.flatMap(({ points }) => points.map(([, value]) => value));
  const highest = Math.max(...values, Number.MIN_VALUE);
  const lowest = fromZero ? 0 : Math.min(...values);
  const step = niceStep(Math.max(highest - lowest, highest * 0.02, 1e-9), 4);
  const bottom = Math.floor(lowest / step) * step;
  const top = Math.max(Math.ceil(highest / step) * step, bottom + step);
  const x = (atMs) => rounded(margin.left + (plotWidth * atMs) / Math.max(endMs, 1));
  const y = (value) => rounded(margin.top + plotHeight * (1 - (value - bottom) / (top - bottom)));
  const parts = [];
  for (let index = 0; index <= Math.round((top - bottom) / step); index++) {
    const value = bottom + index * step;
    parts.push(
      `<line class="grid" x1="${margin.left}" x2="${width - margin.right}" y1="${y(value)}" y2="${y(value)}"/>`,
      `<text x="${margin.left - 6}" y="${y(value) + 4}" text-anchor="end">${escaped(format(value))}</text>`,
    );
  }
  const seconds = endMs / 1000;
  const timeStep = timeSteps.find((candidate) => seconds / candidate <= 6) ?? seconds;
  for (let at = 0; at <= seconds; at += timeStep) {
    const label = seconds < 120 ? `${at} s` : `${rounded(at / 60)} min`;
    parts.push(`<text x="${x(at * 1000)}" y="${height - 6}" text-anchor="middle">${label}</text>`);
  }
  for (const { name, path } of markPaths(marks, x)) {
    parts.push(`<path class="mark ${escaped(name)}" d="${path}"/>`);
  }
  for (const [index, { points }] of series.entries()) {
    const line = thinned(points)
      .map(([atMs, value]) => `${x(atMs)},${y(value)}`)
      .join(' ');
    if (line !== '') parts.push(`<polyline class="s${index}" points="${line}"/>`);
  }
  const key = series
    .map(({ name }, index) => `<span class="s${index}">${escaped(name)}</span>`)
    .join('');
  const label = `${title}: ${series.map(({ name, points }) => described(name, points, format)).join('; ')}`;
  return `<figure><figcaption>${escaped(title)}<span class="key">${key}</span></figcaption><svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${escaped(label)}">${parts.join('')}</svg></figure>`;
}

function described(name, points, format) {
  if (points.length === 0) return `${name}: nothing`;
  const values = points.map(([, value]) => value);
  return `${name} from ${format(values[0])} to ${format(values.at(-1))}, at most ${format(Math.max(...values))}`;
}

/** Short strokes above the plot, a row for each name; failures go through it from top to bottom. */
function markPaths(marks, x) {
  const byName = new Map();
  for (const { atMs, name } of marks) {
    const times = byName.get(name);
    if (times === undefined) byName.set(name, [atMs]);
    else times.push(atMs);
  }
  let row = 0;
  return [...byName].map(([name, times]) => {
    const [top, length] =
      name === 'failure' ? [margin.top, plotHeight] : [2 + markRow * row++, markRow - 1];
    const path = times.map((atMs) => `M${x(atMs)} ${top}v${length}`).join('');
    return { name: name.toLowerCase(), path };
  });
}
