/**
 * Preconditions, If-Range, dates and Accept-Encoding: never an exception, and what the maker of the
 * fields knows of them.
 */
import {
  type Conditions,
  evaluate,
  rangeIsCurrent,
  validatorsOf,
} from '../../../src/workers/static/conditional.ts';
import { qualitiesOf } from '../../../src/workers/static/encoding.ts';
import { parseHttpDate } from '../../../src/workers/static/http-date.ts';
import { listOf, worn } from '../grammar/field-value.ts';
import { once, pick, type Random } from '../random.ts';
import { type FuzzTarget, must } from '../target.ts';

interface ConditionInput {
  readonly size: number;
  readonly mtimeMs: number;
  /** A well-formed list, of which the outcome is known; null: none is tried. */
  readonly tags: readonly string[] | null;
  readonly fields: Conditions;
  readonly ifRange: string;
  readonly acceptEncoding: string;
  /** Seconds since the epoch. */
  readonly date: number;
}

const NOW_MS = Date.UTC(2026, 10, 21, 12);
const DAYS = ['Sun', 'Mon', 'Tues', 'Wednes', 'Thurs', 'Fri', 'Satur'];

/** A moment in the three forms of RFC 9110, section 5.6.7. */
function formsOf(seconds: number): { fix: string; old: string; asctime: string } {
  const date = new Date(seconds * 1000);
  const fix = date.toUTCString();
  const [day, month, year, time] = fix.slice(5).split(' ');
  const weekday = fix.slice(0, 3);
  return {
    fix,
    old: `${DAYS[date.getUTCDay()]}day, ${day}-${month}-${year.slice(2)} ${time} GMT`,
    asctime: `${weekday} ${month} ${String(Number(day)).padStart(2)} ${time} ${year}`,
  };
}

const TAGS = ['"x"', 'W/"x"', '""', '"a,b"', '"\xe9"', '"*"', '"W/"', '"0-0"'];
const ODD_TAGS = ['*', 'W/', '"', 'x', 'w/"x"', '"x', '"x""y"', 'W/ "x"', ''];

export const conditional: FuzzTarget<ConditionInput> = {
  name: 'conditional',
  title: 'preconditions, dates and Accept-Encoding are read as RFC 9110 has them, whatever comes',
  outcomes: 6,
  kept: [
    {
      size: 1,
      mtimeMs: NOW_MS,
      tags: null,
      fields: { ifMatch: null, ifNoneMatch: null, ifModifiedSince: null, ifUnmodifiedSince: null },
      ifRange: '',
      acceptEncoding: `gzip${' '.repeat(60_000)}x`,
      date: 1,
    },
  ],

  make(random: Random): ConditionInput {
    const size = random(1000);
    const mtimeMs = NOW_MS - random(5) * 700 - random(2) * random(10 ** 9);
    const date = Math.floor(mtimeMs / 1000) + random(3) - 1;
    const own = validatorsOf({ size, mtimeMs }, '', NOW_MS).etag;
    const tag = () =>
      pick(
        random,
        once(random, 6) ? [own, own.replace('W/', ''), `W/${own.replace('W/', '')}`] : TAGS,
      );
    const forms = formsOf(date);
    const dates = () =>
      worn(random, pick(random, [forms.fix, forms.old, forms.asctime, '0', 'now', '']));
    const list = () =>
      worn(
        random,
        listOf(random, 1 + random(4), () => (once(random, 4) ? pick(random, ODD_TAGS) : tag())),
      );
    const maybe = (make: () => string) => (once(random, 2) ? make() : null);
    const coding = () =>
      pick(random, ['gzip', 'br', 'zstd', '*', 'identity', 'x-gzip', 'GZIP', 'deflate', '']) +
      pick(random, [
        '',
        '',
        ';q=0',
        ';q=1',
        '; q=0.5',
        ';q=0.0009',
        ';q=1.001',
        ';q=',
        ';Q=0.1',
        ';x=1',
      ]);
    return {
      size,
      mtimeMs,
      tags: once(random, 3) ? Array.from({ length: 1 + random(3) }, tag) : null,
      fields: {
        ifMatch: maybe(list),
        ifNoneMatch: maybe(list),
        ifModifiedSince: maybe(dates),
        ifUnmodifiedSince: maybe(dates),
      },
      ifRange: once(random, 2) ? dates() : worn(random, tag()),
      acceptEncoding: worn(random, listOf(random, random(5), coding)),
      date: 1 + random(2 ** 31) + random(2 ** 31),
    };
  },

  check({ size, mtimeMs, tags, fields, ifRange, acceptEncoding, date }: ConditionInput): string {
    const current = validatorsOf({ size, mtimeMs }, '', NOW_MS);
    const forms = formsOf(date);
    for (const text of [forms.fix, forms.asctime]) {
      must(parseHttpDate(text, NOW_MS) === date, () => `${text} is ${parseHttpDate(text, NOW_MS)}`);
    }
    const century = (parseHttpDate(forms.old, NOW_MS) - date) / (36_524 * 86_400);
    must(
      Math.abs(century - Math.round(century)) < 0.001,
      () => `${forms.old} is off by ${century}`,
    );
    for (const quality of Object.values(qualitiesOf(acceptEncoding))) {
      must(quality >= 0 && quality <= 1000, () => `quality ${quality} of ${acceptEncoding}`);
    }
    const isCurrent = rangeIsCurrent(ifRange, current, NOW_MS);
    must(
      !isCurrent || !current.etag.startsWith('W/') || !ifRange.includes('"'),
      () => 'weak If-Range',
    );
    const answer = evaluate(fields, current, NOW_MS);
    if (fields.ifMatch === null && fields.ifUnmodifiedSince === null) {
      must(answer !== 412, () => '412 without a condition for it');
    }
    if (fields.ifNoneMatch === null && fields.ifModifiedSince === null) {
      must(answer !== 304, () => '304 without a condition for it');
    }
    if (tags === null) return `${answer}${isCurrent ? ', range' : ''}`;
    const list = tags.join(', ');
    const none = {
      ifMatch: null,
      ifNoneMatch: null,
      ifModifiedSince: null,
      ifUnmodifiedSince: null,
    };
    const opaque = (text: string) => text.replace(/^W\//, '');
    const weakly = tags.some((one) => opaque(one) === opaque(current.etag));
    const strongly = tags.some((one) => one === current.etag && !one.startsWith('W/'));
    const asNone = evaluate({ ...none, ifNoneMatch: list }, current, NOW_MS);
    must(asNone === (weakly ? 304 : 0), () => `If-None-Match: ${list} is ${asNone}`);
    const asMatch = evaluate({ ...none, ifMatch: list }, current, NOW_MS);
    must(asMatch === (strongly ? 0 : 412), () => `If-Match: ${list} is ${asMatch}`);
    return `${answer}, tags ${weakly ? 'match' : 'differ'}`;
  },
};
