// The result of a run in words.
import { table } from '../lib/report.mjs';

const ms = (value) => (value === undefined ? '-' : value.toFixed(1));
const whole = (value) => Math.round(value).toLocaleString('en-US');
const shownFailures = 20;

export const atTime = (atMs) => {
  const seconds = Math.floor(atMs / 1000);
  const rest = String(seconds % 60).padStart(2, '0');
  return `${Math.floor(seconds / 60)}:${rest}`;
};

export const kindHeadings = [
  'kind',
  'rounds',
  'failed',
  'beside a fault',
  'p50 ms',
  'p99 ms',
  'slowest ms',
];

/** A row of text for each kind of client. */
export const kindRows = (kinds) =>
  Object.entries(kinds).map(([name, { rounds, failed, beside, p50Ms, p99Ms, slowestMs }]) => [
    name,
    whole(rounds),
    whole(failed),
    whole(beside),
    ms(p50Ms),
    ms(p99Ms),
    ms(slowestMs),
  ]);

export const headline = ({ scenario, lastedMs, passed }) =>
  `${scenario}, ${atTime(lastedMs)} min: ${passed ? 'passed' : 'FAILED'}`;

export function text(result) {
  const { about, seed, checks, kinds, failed, failures, strange, machine } = result;
  const parts = [
    `## ${headline(result)}`,
    `${about}; seed ${seed}; ${machine.cores} cores, Node ${machine.node}, Linux ${machine.kernel}`,
    table(
      ['check', 'expected', 'seen'],
      checks.map(({ name, passed, expected, seen }) => [
        `${passed ? 'ok' : 'FAILED'}: ${name}`,
        expected,
        seen,
      ]),
    ),
    table(kindHeadings, kindRows(kinds)),
  ];
  if (failures.length > 0) {
    const shown = failures.slice(0, shownFailures);
    const lines = shown.map(
      ({ atMs, kind, what, message }) =>
        `- ${(atMs / 1000).toFixed(2)} s, ${kind}, ${what}: ${message}`,
    );
    parts.push(`${whole(failed)} unexpected failures, the first:\n${lines.join('\n')}`);
  }
  if (strange.length > 0) {
    parts.push(`Said by the server:\n${strange.map((line) => `    ${line}`).join('\n')}`);
  }
  return `${parts.join('\n\n')}\n`;
}
