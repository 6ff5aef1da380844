/** What the soak calls a leak, a failure and a strange line: each judgement can go either way. */
import { describe, expect, it } from 'vitest';

interface Check {
  readonly name: string;
  readonly passed: boolean;
  readonly seen: string;
}
type Sample = Readonly<Record<'atMs' | 'pssBytes' | 'rssBytes', number>>;
type Holdings = Readonly<Record<string, number>>;
interface Failure {
  readonly kind?: string;
  readonly status?: number;
  readonly message: string;
}

const load = async <Module>(file: string): Promise<Module> =>
  import(new URL(`../../../bench/soak/${file}`, import.meta.url).href);

const verdict = await load<{
  memoryChecks(samples: readonly Sample[], lastedMs: number): Check[];
  returnChecks(before: Holdings, after: Holdings): Check[];
  settled(before: Holdings, now: Holdings): boolean;
  strangeLines(output: string): string[];
  endCheck(end: { code: number; signal: string | null; killed: number }): Check;
  minJudgedMs: number;
}>('verdict.mjs');
const { Tally } = await load<{
  Tally: new (
    random: () => number,
  ) => {
    failed: number;
    failures: { kind: string; what: string }[];
    now(): number;
    faultBegins(): void;
    faultEnds(): void;
    failure(kind: string, error: Failure, beganMs: number, shares?: boolean): void;
    summary(): Record<string, { failed: number; beside: number }>;
  };
}>('tally.mjs');
const { niceStep, plot } = await load<{
  niceStep(range: number, count: number): number;
  plot(options: object): string;
}>('svg.mjs');

const MB = 1024 * 1024;
const held: Holdings = {
  descriptors: 60,
  connections: 0,
  buffers: 0,
  spilledBytes: 0,
  queued: 0,
  children: 3,
  lengthyWorkers: 0,
  unsettled: 0,
};

/** A sample a second; memory as `bytes` says, with a saw of garbage collections upon it. */
const samplesOf = (count: number, bytes: (second: number) => number): Sample[] =>
  Array.from({ length: count }, (_, second) => {
    const value = bytes(second) + (second % 7) * 4 * MB;
    return { atMs: second * 1000, pssBytes: value, rssBytes: value };
  });

describe('memory', () => {
  const long = verdict.minJudgedMs * 5;
  it('that only goes up and down passes, and so does what a start costs', () => {
    const flat = samplesOf(600, (second) => 300 * MB - 200 * MB * Math.exp(-second / 20));
    expect(verdict.memoryChecks(flat, long).map(({ passed }) => passed)).toEqual([true, true]);
  });

  it('that grows steadily fails, however small each step', () => {
    const leak = samplesOf(600, (second) => 300 * MB + (second * MB) / 8);
    expect(verdict.memoryChecks(leak, long).map(({ passed }) => passed)).toEqual([false, false]);
  });

  it('of a run of seconds is shown and not judged', () => {
    const steep = samplesOf(20, (second) => second * 20 * MB);
    const checks = verdict.memoryChecks(steep, 20_000);
    expect(checks.map(({ passed }) => passed)).toEqual([true, true]);
    expect(checks[0]?.seen).toMatch(/ MB/);
  });
});

describe('what was taken', () => {
  it.each(Object.keys(held).filter((key) => key !== 'unsettled'))('%s must come back', (key) => {
    const after = { ...held, [key]: (held[key] ?? 0) + 1 };
    const failed = verdict.returnChecks(held, after).filter(({ passed }) => !passed);
    expect(failed).toHaveLength(1);
    expect(verdict.settled(held, after)).toBe(false);
    expect(verdict.returnChecks(held, held).every(({ passed }) => passed)).toBe(true);
    expect(verdict.settled(held, held)).toBe(true);
  });

  it('is not settled while a child starts or retires', () => {
    expect(verdict.settled(held, { ...held, unsettled: 1 })).toBe(false);
  });
});

describe('a failure', () => {
  const cut: Failure = { kind: 'ended', message: 'cut' };
  it('counts, with its kind', () => {
    const tally = new Tally(() => 0);
    tally.failure('light', { kind: 'reset', message: 'reset' }, tally.now());
    expect(tally.failed).toBe(1);
    expect(tally.failures[0]).toMatchObject({ kind: 'light', what: 'reset' });
  });

  it('beside a fault is excused only where the request shares its worker', () => {
    const tally = new Tally(() => 0);
    const began = tally.now();
    tally.faultBegins();
    tally.failure('streams', cut, began, true);
    tally.failure('light', cut, began, false);
    tally.faultEnds();
    expect(tally.summary()).toMatchObject({
      streams: { failed: 0, beside: 1 },
      light: { failed: 1, beside: 0 },
    });
  });

  it('beside a fault is no excuse for wrong bytes, or for what began after it', () => {
    const tally = new Tally(() => 0);
    const began = tally.now();
    tally.faultBegins();
    tally.faultEnds();
    tally.failure('streams', { kind: 'body', message: 'other bytes' }, began, true);
    tally.failure('streams', { kind: 'status', status: 500, message: '500' }, began, true);
    tally.failure('streams', cut, tally.now() + 1, true);
    expect(tally.failed).toBe(3);
    tally.failure('streams', { kind: 'status', status: 502, message: '502' }, began, true);
    expect(tally.failed).toBe(3);
  });
});

describe('what the server says', () => {
  it('of faults on purpose is expected, with their stacks', () => {
    const output = [
      'hybrid-mpm 0.1.0 listening on http://127.0.0.1:1 (pid 1)',
      'SIGUSR2: restarting the workers',
      'hybrid-mpm: worker 2 died; in it: GET /fault/throw (answered 502): Error: thrown on purpose',
      '    at Timeout._onTimeout (application.mjs:1:1)',
      'hybrid-mpm: worker 8 died; in it: GET /wait/1 (answered 502) and 3 more: Error: thrown on purpose',
      'hybrid-mpm: worker 1 died; in it: GET /fault/loop (running, answered 504), GET /wait/1 (answered 502): over its deadline',
    ];
    expect(verdict.strangeLines(output.join('\n'))).toEqual([]);
  });

  it.each([
    'hybrid-mpm: worker 2 died; no request was in it: Error: IllegalTransition',
    'hybrid-mpm: worker 2 died; in it: GET /light (running, answered 502): heap out of memory',
    'hybrid-mpm: admin: no answer',
    'ERR_MPM_DEFECT: x',
  ])('of anything else is shown: %s', (line) => {
    expect(verdict.strangeLines(`status on http://x\n${line}\n`)).toEqual([line]);
  });

  it('at its end must be code 0, by itself', () => {
    const end = { code: 0, signal: null, killed: 0 };
    expect(verdict.endCheck(end).passed).toBe(true);
    expect(verdict.endCheck({ ...end, killed: 1 }).passed).toBe(false);
    expect(verdict.endCheck({ ...end, code: 1 }).passed).toBe(false);
  });
});

describe('a plot', () => {
  it('has steps of 1, 2 or 5', () => {
    expect([1, 7, 60, 0.3, 1900].map((range) => niceStep(range, 4))).toEqual([
      0.5, 2, 20, 0.1, 500,
    ]);
  });

  it('escapes what it is given, and says in words what it shows', () => {
    const series = [
      {
        name: 'a<b',
        points: [
          [0, 1],
          [1000, 3],
        ],
      },
    ];
    const svg = plot({ title: '"x"', series, endMs: 1000, marks: [], format: String });
    expect(svg).not.toContain('a<b');
    expect(svg).toContain('from 1 to 3, at most 3');
  });
});
