/**
 * Which content coding a client would like (RFC 9110, section 12.5.3).
 *
 * Role: reads Accept-Encoding into a quality for each coding that files may lie in.
 * The `negotiator` package reads `q=0.5x` as 0.5, knows no `x-gzip`, and answers an order where a
 * choice among codings that are liked equally should go by their size here.
 * Thread: a worker; one bounded cache.
 */
import { trimBlanks } from '../trim-blanks.ts';

/** Codings of precompressed siblings by the ending of their file names. */
export const CODINGS = [
  { coding: 'br', suffix: '.br' },
  { coding: 'zstd', suffix: '.zst' },
  { coding: 'gzip', suffix: '.gz' },
] as const;
export type Coding = (typeof CODINGS)[number]['coding'];

/** Thousandths, 0: not acceptable. */
export type Qualities = Readonly<Record<Coding | 'identity', number>>;

/** Clients send few different values; what makes them up gains nothing here. */
const MAX_CACHED = 64;
const MAX_CACHED_LENGTH = 256;
const ELEMENT = /^([!#$%&'*+\-.^_`|~\w]+)(?:[\t ]*;[\t ]*q=(0(?:\.\d{0,3})?|1(?:\.0{0,3})?))?$/i;
const UNLISTED = -1;
/** Acceptable unless excluded, and liked less than anything that was named. */
const LEAST = 0.5;

const ONLY_IDENTITY: Qualities = { br: 0, zstd: 0, gzip: 0, identity: 1000 };
const cache = new Map<string, Qualities>();

/** @param field null where absent: nothing is known of the client, so nothing is encoded for it */
export function qualitiesOf(field: string | null): Qualities {
  if (field === null) return ONLY_IDENTITY;
  const known = cache.get(field);
  if (known !== undefined) return known;
  const qualities = parse(field);
  if (field.length <= MAX_CACHED_LENGTH) {
    if (cache.size === MAX_CACHED) cache.clear();
    cache.set(field, qualities);
  }
  return qualities;
}

function parse(field: string): Qualities {
  const found = { br: UNLISTED, zstd: UNLISTED, gzip: UNLISTED, identity: UNLISTED };
  let others = UNLISTED;
  for (const element of field.split(',')) {
    const match = ELEMENT.exec(trimBlanks(element));
    // What cannot be read is not something the client can be sent.
    if (match === null) continue;
    const name = match[1].toLowerCase();
    const quality = match[2] === undefined ? 1000 : Math.round(Number(match[2]) * 1000);
    if (name === '*') others = quality;
    else if (name === 'x-gzip') found.gzip = quality;
    else if (Object.hasOwn(found, name)) found[name as keyof typeof found] = quality;
  }
  const unlisted = Math.max(0, others);
  for (const { coding } of CODINGS) {
    if (found[coding] === UNLISTED) found[coding] = unlisted;
  }
  if (found.identity === UNLISTED) found.identity = others === UNLISTED ? LEAST : others;
  return found;
}
