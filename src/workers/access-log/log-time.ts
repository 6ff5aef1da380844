/**
 * Times as log lines write them; a second is put into words once.
 *
 * Thread: any, one object each.
 */
import type { LogFormat } from './format.ts';

const MONTHS = 'Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec'.split(' ');
const two = (value: number): string => String(value).padStart(2, '0');
const three = (value: number): string => String(value).padStart(3, '0');

/** Apache's %t without its brackets: `21/Nov/2026:09:22:45 +0100`, local time. */
function apacheTime(date: Date): string {
  const west = date.getTimezoneOffset();
  const away = Math.abs(west);
  const offset = `${west > 0 ? '-' : '+'}${two(Math.floor(away / 60))}${two(away % 60)}`;
  const day = `${two(date.getDate())}/${MONTHS[date.getMonth()]}/${date.getFullYear()}`;
  return `${day}:${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())} ${offset}`;
}

export class LogTime {
  readonly #iso: boolean;
  #second = Number.NaN;
  #text = '';

  constructor(format: LogFormat) {
    this.#iso = format === 'json';
  }

  /** @param now milliseconds since the Unix epoch; RFC 3339 in UTC with milliseconds for `json` */
  text(now: number): string {
    const second = Math.floor(now / 1000);
    if (second !== this.#second) {
      this.#second = second;
      const date = new Date(second * 1000);
      this.#text = this.#iso ? date.toISOString().slice(0, -'000Z'.length) : apacheTime(date);
    }
    return this.#iso ? `${this.#text}${three(Math.floor(now) - second * 1000)}Z` : this.#text;
  }
}
