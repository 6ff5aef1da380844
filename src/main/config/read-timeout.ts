/**
 * The value of requestReadTimeout, in Apache's own syntax or as an object.
 *
 * Role: `header=20-40,MinRate=500 body=20,MinRate=500` to milliseconds and back.
 * Thread: main. Source: httpd, modules/filters/mod_reqtimeout.c; a stage that is not named keeps its
 * default, a maximum needs a rate, 0 switches a stage off.
 */
import { z } from 'zod';
import { durationMs } from '../../workers/duration.ts';
import type { ReadTimeout, RequestReadTimeout } from './directives.ts';
import { formatDuration, type Kind } from './kinds.ts';

const DAY_MS = 86_400_000;
const MAX_RATE = 2 ** 31 - 1;
const STAGES = ['header', 'body'] as const;
type Stage = (typeof STAGES)[number];

export const DEFAULT_READ_TIMEOUT: RequestReadTimeout = {
  header: { timeoutMs: 20_000, maxTimeoutMs: 40_000, minRateBytesPerSecond: 500 },
  body: { timeoutMs: 20_000, maxTimeoutMs: 0, minRateBytesPerSecond: 500 },
};
const OFF: ReadTimeout = { timeoutMs: 0, maxTimeoutMs: 0, minRateBytesPerSecond: 0 };

const FORM =
  'must look like header=20-40,MinRate=500 body=20,MinRate=500 (seconds, bytes a second; 0: no limit), or be an object with header and body';
const seconds = z.union([z.number(), z.string()]);
const stageObject = z.strictObject(
  {
    timeout: seconds,
    maxTimeout: seconds.optional(),
    minRate: z.union([z.number(), z.string()]).optional(),
  },
  { error: FORM },
);
const stageValue = z.union([stageObject, z.string(), z.number(), z.literal(false), z.null()], {
  error: FORM,
});
type StageInput = z.input<typeof stageValue>;
const input = z.union(
  [
    z.string(),
    z.literal(false),
    z.null(),
    z.strictObject({ header: stageValue.optional(), body: stageValue.optional() }, { error: FORM }),
  ],
  { error: FORM },
);

/** A stage from its parts, or what is wrong with it. */
function stageOf(timeout: string, most: string | undefined, rate: string | undefined) {
  const timeoutMs = durationMs(timeout);
  if (!Number.isInteger(timeoutMs) || timeoutMs > DAY_MS) {
    return `"${timeout}" must be a time from 0 to 24h, in seconds or like 500ms`;
  }
  const minRateBytesPerSecond =
    rate === undefined ? 0 : /^\d{1,10}$/.test(rate) ? Number(rate) : -1;
  if (rate !== undefined && (minRateBytesPerSecond < 1 || minRateBytesPerSecond > MAX_RATE)) {
    return `MinRate "${rate}" must be a whole number of bytes a second from 1 to ${MAX_RATE}`;
  }
  if (timeoutMs === 0) return most === undefined ? OFF : 'a maximum needs a time above 0';
  if (most === undefined) {
    const maxTimeoutMs = rate === undefined ? timeoutMs : 0;
    return { timeoutMs, maxTimeoutMs, minRateBytesPerSecond };
  }
  const maxTimeoutMs = durationMs(most);
  if (!Number.isInteger(maxTimeoutMs) || maxTimeoutMs > DAY_MS || maxTimeoutMs <= timeoutMs) {
    return `maximum "${most}" must be a time above ${timeout}, at most 24h`;
  }
  if (rate === undefined) return 'a maximum needs a MinRate that extends the time up to it';
  return { timeoutMs, maxTimeoutMs, minRateBytesPerSecond };
}

/** `20-40,MinRate=500`; also `off`. */
function stageIn(text: string): ReadTimeout | string {
  if (/^off$/i.test(text)) return OFF;
  const match = /^([^-,]+)(?:-([^-,]+))?(?:,MinRate=([^,]*))?$/i.exec(text);
  if (match === null) return `"${text}" must look like 20, 20,MinRate=500 or 20-40,MinRate=500`;
  return stageOf(match[1] as string, match[2], match[3]);
}

function stageFrom(value: StageInput): ReadTimeout | string {
  if (value === false || value === null) return OFF;
  if (typeof value !== 'object') return stageIn(String(value));
  const { timeout, maxTimeout, minRate } = value;
  return stageOf(String(timeout), maxTimeout?.toString(), minRate?.toString());
}

function formatStage({ timeoutMs, maxTimeoutMs, minRateBytesPerSecond }: ReadTimeout): string {
  const time = (ms: number) => (ms % 1000 === 0 ? String(ms / 1000) : formatDuration(ms));
  if (minRateBytesPerSecond === 0) return time(timeoutMs);
  const most = maxTimeoutMs === 0 ? '' : `-${time(maxTimeoutMs)}`;
  return `${time(timeoutMs)}${most},MinRate=${minRateBytesPerSecond}`;
}

/** The stages that the input names, as they were written. */
function stagesIn(value: z.input<typeof input>): Map<string, StageInput> {
  if (value === false || value === null) return new Map(STAGES.map((stage) => [stage, 0]));
  if (typeof value === 'object') {
    return new Map(
      STAGES.flatMap((stage) => {
        const given = value[stage];
        return given === undefined ? [] : [[stage, given] as const];
      }),
    );
  }
  const text = value.trim();
  if (/^(off|false|no)$/i.test(text)) return new Map(STAGES.map((stage) => [stage, 0]));
  const stages = new Map<string, StageInput>();
  for (const part of text.split(/\s+/)) {
    const split = part.indexOf('=');
    stages.set(
      split === -1 ? part : part.slice(0, split),
      split === -1 ? '' : part.slice(split + 1),
    );
  }
  return stages;
}

export function readTimeout(): Kind<RequestReadTimeout, z.input<typeof input>> {
  return {
    type: 'read timeouts',
    unit: 'seconds, bytes a second',
    range: '0 .. 24h for each time; off',
    form: FORM,
    placeholder: '<header=.. body=..>',
    schema: input.transform((value, context) => {
      const result: Record<Stage, ReadTimeout> = { ...DEFAULT_READ_TIMEOUT };
      for (const [name, given] of stagesIn(value)) {
        const stage = STAGES.find((known) => known === name.toLowerCase());
        const parsed = stage === undefined ? '' : stageFrom(given);
        if (stage === undefined || typeof parsed === 'string') {
          context.addIssue(
            stage === undefined || parsed === '' ? FORM : `${FORM}; ${stage}: ${parsed}`,
          );
          return z.NEVER;
        }
        result[stage] = parsed;
      }
      return result;
    }),
    format: ({ header, body }) => `header=${formatStage(header)} body=${formatStage(body)}`,
  };
}
