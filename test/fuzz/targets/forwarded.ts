/**
 * X-Forwarded-For and Forwarded: the client is the nearest hop that is not trusted, or the farthest at
 * all; nothing that stands behind it, and nothing that cannot be read, makes a difference.
 */
import { isIP } from 'node:net';
import {
  type Client,
  clientOfForwarded,
  clientOfXForwarded,
} from '../../../src/workers/proxy/forwarded.ts';
import { worn } from '../grammar/field-value.ts';
import { once, pick, type Random } from '../random.ts';
import { type FuzzTarget, must } from '../target.ts';

interface ForwardedInput {
  /** From the farthest to the nearest: `10.` is trusted, `unknown` cannot be read. */
  readonly hops: readonly string[];
  /** What a client may have put before them, and fields in which anything may stand. */
  readonly lie: string;
  readonly proto: string;
  readonly host: string;
}

const TRUSTED = ['10.0.0.1', '10.255.255.255', '10.1.2.3:8080'];
const OTHERS = ['192.0.2.7', '192.0.2.7:4711', '2001:db8::7', '[2001:db8::7]', '[2001:db8::7]:443'];
const UNREADABLE = [
  'unknown',
  '_hidden',
  '1.2.3',
  '256.1.1.1',
  '[::1',
  '::1%lo',
  '192.0.2.7:99999',
];
const LIES = [
  ...[
    'for=1.1.1.1',
    '"',
    'for="',
    '1.1.1.1',
    ',,,',
    ';;',
    'for=8.8.8.8;for=9.9.9.9',
    '<script>',
    '\\',
  ],
  ...['for="\\', 'proto=https;', ' , ', 'for=', '=x', '8.8.8.8, 9.9.9.9'],
];
const HOSTS = [
  ...[
    'example.org',
    'a.example:443',
    '[::1]:80',
    '',
    'a b',
    'a/b',
    '<b>',
    'x'.repeat(300),
    'a..b',
    '@h',
  ],
];
const MAX_HOPS = 32;

const trusts = (address: string): boolean => address.startsWith('10.');

/** The hop to be believed, from the nearest on; '' for none. */
function expectedClient(hops: readonly string[]): string {
  let found = '';
  for (const hop of [...hops].reverse().slice(0, MAX_HOPS)) {
    if (UNREADABLE.includes(hop)) return found;
    found = hop;
    if (!TRUSTED.includes(hop)) return found;
  }
  return found;
}

const bare = (hop: string): string =>
  hop.startsWith('[')
    ? hop.slice(1, hop.indexOf(']'))
    : hop.includes('.')
      ? hop.split(':')[0]
      : hop;

function wellFormed({ address, port, host }: Client): void {
  must(address === '' || isIP(address) !== 0, () => `address ${JSON.stringify(address)}`);
  must(Number.isInteger(port) && port >= 0 && port <= 65_535, () => `port ${port}`);
  must(/^[\w.:[\]-]*$/.test(host), () => `host ${JSON.stringify(host)}`);
}

export const forwarded: FuzzTarget<ForwardedInput> = {
  name: 'forwarded',
  title: 'what proxies say of the client is believed as far as they are trusted',
  outcomes: 3,
  kept: [{ hops: [], lie: `for=1.1.1.1,${' '.repeat(60_000)}@`, proto: '', host: '' }],

  make(random: Random): ForwardedInput {
    const hop = () =>
      pick(random, once(random, 6) ? UNREADABLE : once(random, 2) ? TRUSTED : OTHERS);
    const count = once(random, 30) ? 30 + random(10) : random(5);
    return {
      hops: Array.from({ length: count }, hop),
      lie: worn(random, once(random, 3) ? '' : pick(random, LIES)),
      proto: worn(random, pick(random, ['https', 'http', 'HTTPS', 'https, http', ''])),
      host: worn(random, pick(random, HOSTS)),
    };
  },

  check({ hops, lie, proto, host }: ForwardedInput): string {
    const expected = expectedClient(hops);
    const ofX = clientOfXForwarded(
      [...(lie === '' ? [] : [lie]), ...hops],
      [proto],
      [host],
      trusts,
    );
    wellFormed(ofX);
    // Behind a hop that ends the way a lie cannot count, of whichever form.
    const ends = hops.length >= MAX_HOPS || hops.some((hop) => !TRUSTED.includes(hop));
    if (ends || lie === '') {
      must(ofX.address === bare(expected), () => `X: ${ofX.address} for ${expected}`);
    }
    const quoted = hops.map(
      (one) => `for="${bare(one) === one && isIP(one) === 6 ? `[${one}]` : one}"`,
    );
    const of = clientOfForwarded(quoted, trusts);
    wellFormed(of);
    must(of.address === bare(expected), () => `Forwarded: ${of.address} for ${expected}`);
    const mixed = clientOfForwarded([lie, `host="${host}";proto=${proto}`, ...quoted], trusts);
    wellFormed(mixed);
    // A malformed field says nothing at all; a well-formed one no more than before.
    must(
      !ends || mixed.address === '' || mixed.address === of.address,
      () => `lied to: ${mixed.address}`,
    );
    return expected === '' ? 'nobody' : trusts(bare(expected)) ? 'a proxy' : 'a client';
  },
};
