// Reads a command, whole and with its literals in place, piece by piece (RFC 9051, 9: formal syntax).

const ATOM = /(?:(?![(){%*"\\\]])[!-~])+/y;
const ASTRING = /(?:(?![(){%*"\\])[!-~])+/y;
const LIST_MAILBOX = /(?:(?![(){"\\])[!-~])+/y;
const TAG = /(?:(?![(){%*"\\+])[!-~])+/y;
const QUOTED = /"((?:[^"\\\r\n\0]|\\["\\])*)"/y;
const LITERAL = /\{(\d{1,10})\+?\}\r\n/y;
const FLAG = /\\?(?:(?![(){%*"\\\]])[!-~])+/y;
const KEYWORD = /[A-Za-z0-9.]+/y;
const NUMBER = /\d{1,10}/y;
const SET = /(?:\d+|\*)(?::(?:\d+|\*))?(?:,(?:\d+|\*)(?::(?:\d+|\*))?)*/y;
const DATE = /"?(\d{1,2})-([A-Za-z]{3})-(\d{4})"?/y;
const DATE_TIME = /"( \d|\d\d)-([A-Za-z]{3})-(\d{4}) (\d\d):(\d\d):(\d\d) ([+-])(\d\d)(\d\d)"/y;
const MONTHS = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'];

const SECONDS_PER_DAY = 86_400;
const MAX_NUMBER = 0xffffffff;

/** The command is not what the grammar says; the client gets the words with BAD. */
export class SyntaxFault extends Error {}

export class CommandReader {
  #text;
  #at = 0;

  /** @param {string} text bytes as latin1, without the last line's end */
  constructor(text) {
    this.#text = text;
  }

  #match(pattern) {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text);
    if (found !== null) this.#at = pattern.lastIndex;
    return found;
  }

  #expect(pattern, what) {
    const found = this.#match(pattern);
    if (found === null) throw new SyntaxFault(`${what} expected`);
    return found;
  }

  /** The next character, '' at the end. */
  peek() {
    return this.#text.charAt(this.#at);
  }

  /** Takes this text if it comes next. */
  take(text) {
    if (!this.#text.startsWith(text, this.#at)) return false;
    this.#at += text.length;
    return true;
  }

  /** The same of a word, whatever its case. */
  takeWord(word) {
    const next = this.#text.slice(this.#at, this.#at + word.length);
    return next.toUpperCase() === word && this.take(next);
  }

  skip(text) {
    if (!this.take(text)) throw new SyntaxFault(`"${text}" expected`);
  }

  space() {
    if (!this.take(' ')) throw new SyntaxFault('A space expected');
  }

  end() {
    if (this.#at < this.#text.length) throw new SyntaxFault('Too much');
  }

  tag() {
    return this.#expect(TAG, 'A tag')[0];
  }

  atom() {
    return this.#expect(ATOM, 'A word')[0];
  }

  /** A word of letters, digits and dots, in upper case. */
  keyword() {
    return this.#expect(KEYWORD, 'A word')[0].toUpperCase();
  }

  number() {
    const value = Number(this.#expect(NUMBER, 'A number')[0]);
    if (value > MAX_NUMBER) throw new SyntaxFault('Number too large');
    return value;
  }

  string() {
    const quoted = this.#match(QUOTED);
    if (quoted !== null) return quoted[1].replaceAll(/\\(["\\])/g, '$1');
    const length = Number(this.#expect(LITERAL, 'A string')[1]);
    const value = this.#text.slice(this.#at, this.#at + length);
    this.#at += length;
    return value;
  }

  astring() {
    return this.#match(ASTRING)?.[0] ?? this.string();
  }

  listMailbox() {
    return this.#match(LIST_MAILBOX)?.[0] ?? this.string();
  }

  /** Names of flags, in parentheses. */
  flags() {
    this.skip('(');
    const flags = [];
    while (!this.take(')')) {
      if (flags.length > 0) this.space();
      flags.push(this.#expect(FLAG, 'A flag')[0]);
    }
    return flags;
  }

  /** The same, or one or more without parentheses. */
  looseFlags() {
    if (this.peek() === '(') return this.flags();
    const flags = [this.#expect(FLAG, 'A flag')[0]];
    while (this.take(' ')) flags.push(this.#expect(FLAG, 'A flag')[0]);
    return flags;
  }

  isSet() {
    return /[\d*]/.test(this.peek());
  }

  /** Ranges of numbers, both ends within; Infinity for `*`. */
  set() {
    const end = (text) => {
      const value = text === '*' ? Number.POSITIVE_INFINITY : Number(text);
      if (value === 0 || (value > MAX_NUMBER && text !== '*')) {
        throw new SyntaxFault('A number from 1 expected');
      }
      return value;
    };
    return this.#expect(SET, 'Numbers of messages')[0]
      .split(',')
      .map((range) => {
        const [from, to = from] = range.split(':');
        return [end(from), end(to)];
      });
  }

  /** Days since 1970. */
  date() {
    const [, day, month, year] = this.#expect(DATE, 'A date');
    return secondsOf(year, month, day) / SECONDS_PER_DAY;
  }

  /** Seconds since 1970. */
  dateTime() {
    const [, day, month, year, hours, minutes, seconds, sign, zoneHours, zoneMinutes] =
      this.#expect(DATE_TIME, 'A date with its time');
    const zone = (Number(zoneHours) * 60 + Number(zoneMinutes)) * 60;
    const time = (Number(hours) * 60 + Number(minutes)) * 60 + Number(seconds);
    const value = secondsOf(year, month, day) + time - (sign === '+' ? zone : -zone);
    return Math.min(Math.max(value, 0), MAX_NUMBER);
  }
}

function secondsOf(year, month, day) {
  const index = MONTHS.indexOf(month.toLowerCase());
  const date = new Date(Date.UTC(Number(year), index, Number(day)));
  if (index < 0 || date.getUTCDate() !== Number(day)) throw new SyntaxFault('No such day');
  return date.getTime() / 1000;
}

/** `25-Dec-2026 08:00:00 +0000` for seconds since 1970. */
export function dateTimeText(seconds) {
  const [, day, month, year, time] = new Date(seconds * 1000).toUTCString().split(' ');
  return `${day}-${month}-${year} ${time} +0000`;
}
