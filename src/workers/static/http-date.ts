/**
 * HTTP-date (RFC 9110, section 5.6.7).
 *
 * Role: reads the form that is sent and the two obsolete ones that recipients must take as well.
 * `Date.parse` takes much else besides, and takes a date without a zone for local time.
 * Thread: any; pure functions.
 */

const TIME = '([01]\\d|2[0-3]):([0-5]\\d):([0-5]\\d|60)';
const MONTHS = 'JanFebMarAprMayJunJulAugSepOctNovDec';
const MONTH = `(${(MONTHS.match(/.../g) ?? []).join('|')})`;
const DAY = '(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)';
const LONG_DAY = '(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day';

/** `Sun, 06 Nov 1994 08:49:37 GMT` */
const FIXDATE = new RegExp(`^${DAY}, (\\d{2}) ${MONTH} (\\d{4}) ${TIME} GMT$`);
/** `Sunday, 06-Nov-94 08:49:37 GMT` */
const RFC850 = new RegExp(`^${LONG_DAY}, (\\d{2})-${MONTH}-(\\d{2}) ${TIME} GMT$`);
/** `Sun Nov  6 08:49:37 1994` */
const ASCTIME = new RegExp(`^${DAY} ${MONTH} (\\d{2}| \\d) ${TIME} (\\d{4})$`);

/** @returns seconds since the epoch, NaN where it is no HTTP-date */
export function parseHttpDate(text: string, nowMs: number): number {
  let match = FIXDATE.exec(text);
  if (match !== null) return seconds(match[3], match[2], match[1], match, 4);
  match = RFC850.exec(text);
  if (match !== null) return seconds(fullYear(match[3], nowMs), match[2], match[1], match, 4);
  match = ASCTIME.exec(text);
  if (match !== null) return seconds(match[6], match[1], match[2], match, 3);
  return Number.NaN;
}

/** A year that would be more than 50 years ahead is the latest past one with these digits. */
function fullYear(digits: string, nowMs: number): string {
  const thisYear = new Date(nowMs).getUTCFullYear();
  const year = thisYear - (thisYear % 100) + Number(digits);
  return String(year > thisYear + 50 ? year - 100 : year);
}

/** @param at index of the hour; minute and second follow */
function seconds(
  year: string,
  month: string,
  day: string,
  match: readonly string[],
  at: number,
): number {
  const date = new Date(0);
  date.setUTCFullYear(Number(year), MONTHS.indexOf(month) / 3, Number(day));
  // 31 Feb would silently be a day in March.
  if (date.getUTCDate() !== Number(day)) return Number.NaN;
  const time = Number(match[at]) * 3600 + Number(match[at + 1]) * 60 + Number(match[at + 2]);
  return date.getTime() / 1000 + time;
}
