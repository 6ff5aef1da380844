/**
 * The kinds of values that directives take: how each is written, checked and shown.
 *
 * Role: every kind is a zod schema from what users write (file, variable, flag) to the normalised
 * value, the sentence that says what is allowed, and the way back to text.
 * Thread: main. May not: know any directive.
 */
import { isIPv4, isIPv6 } from 'node:net';
import { isAbsolute, resolve } from 'node:path';
import { z } from 'zod';
import { MAX_SESSION_PROTOCOLS } from '../../scoreboard/layout.ts';
import { durationMs } from '../../workers/duration.ts';
import { isNetwork } from '../../workers/proxy/networks.ts';
import type { HostPort } from './directives.ts';

export interface Kind<Output, Input = unknown> {
  /** For the reference, e.g. `duration`. */
  readonly type: string;
  /** Unit of a bare number; '' where there is none. */
  readonly unit: string;
  /** The allowed range, as users would write it. */
  readonly range: string;
  /** What an error says: `must be ...`. */
  readonly form: string;
  /** For --help, e.g. `<seconds>`. */
  readonly placeholder: string;
  readonly schema: z.ZodType<Output, Input>;
  /** As a user would write it; the schema takes it back to an equal value. */
  readonly format: (value: Output) => string;
}

/** A switch: on/off, true/false, yes/no, in any case. */
export function onOff(): Kind<boolean, boolean | string> {
  const form = 'must be on or off (also true, false, yes, no)';
  const words = new Map<unknown, boolean>([
    ['on', true],
    ['true', true],
    ['yes', true],
    ['off', false],
    ['false', false],
    ['no', false],
  ]);
  return {
    type: 'switch',
    unit: '',
    range: 'on, off',
    form,
    placeholder: '<on|off>',
    schema: z.union([z.boolean(), z.string()], { error: form }).transform((value, context) => {
      const flag = typeof value === 'boolean' ? value : words.get(value.trim().toLowerCase());
      if (flag !== undefined) return flag;
      context.addIssue(form);
      return z.NEVER;
    }),
    format: (value) => (value ? 'on' : 'off'),
  };
}

/** The words that a bare switch on the command line may be followed by. */
export const isSwitchWord = (text: string): boolean => onOff().schema.safeParse(text).success;

type NumberInput = number | string;

/** Reads a number by `read`, then holds it within the range; every failure says `form`. */
const within = (form: string, least: number, most: number, read: (text: string) => number) =>
  z
    .union([z.number(), z.string()], { error: form })
    .transform((value) => (typeof value === 'number' ? value : read(value.trim())))
    .pipe(z.number({ error: form }).min(least, { error: form }).max(most, { error: form }));

const wholeWithin = (form: string, least: number, most: number, read: (text: string) => number) =>
  within(form, least, most, read).pipe(z.int({ error: form }));

const digits = (text: string): number => (/^-?\d{1,16}$/.test(text) ? Number(text) : Number.NaN);
const decimal = (text: string): number =>
  /^-?\d{1,16}(\.\d{1,16})?$/.test(text) ? Number(text) : Number.NaN;

export function whole(least: number, most: number, zero = ''): Kind<number, NumberInput> {
  const form = `must be a whole number from ${least} to ${most}${zero && `; 0: ${zero}`}`;
  return {
    type: 'whole number',
    unit: '',
    range: `${least} .. ${most}`,
    form,
    placeholder: '<n>',
    schema: wholeWithin(form, least, most, digits),
    format: String,
  };
}

export function fraction(least: number, most: number): Kind<number, NumberInput> {
  const form = `must be a number from ${least} to ${most}`;
  return {
    type: 'number',
    unit: '',
    range: `${least} .. ${most}`,
    form,
    placeholder: '<n>',
    schema: within(form, least, most, decimal),
    format: String,
  };
}

const MILLISECONDS = { ms: 1, s: 1000, min: 60_000, h: 3_600_000 } as const;

/** `65s`, `500ms`, `2min`: the greatest unit that leaves a whole number. */
export function formatDuration(ms: number): string {
  if (ms === 0) return '0';
  if (ms % MILLISECONDS.h === 0) return `${ms / MILLISECONDS.h}h`;
  if (ms % MILLISECONDS.min === 0 && ms > MILLISECONDS.min) return `${ms / MILLISECONDS.min}min`;
  return ms % MILLISECONDS.s === 0 ? `${ms / MILLISECONDS.s}s` : `${ms}ms`;
}

/** A time; a bare number is seconds, as in Apache. Resolves to whole milliseconds. */
export function duration(leastMs: number, mostMs: number, zero = ''): Kind<number, NumberInput> {
  const range = `${formatDuration(leastMs)} .. ${formatDuration(mostMs)}`;
  const form = `must be a time from ${formatDuration(leastMs)} to ${formatDuration(mostMs)}, in seconds or like 500ms, 5s, 2min, 1h${zero && `; 0: ${zero}`}`;
  return {
    type: 'time',
    unit: 'seconds',
    range,
    form,
    placeholder: '<seconds>',
    schema: z
      .union([z.number(), z.string()], { error: form })
      .transform((value) => (typeof value === 'number' ? String(value) : value.trim()))
      .pipe(z.string().transform(durationMs))
      .pipe(z.int({ error: form }).min(leastMs, { error: form }).max(mostMs, { error: form })),
    format: formatDuration,
  };
}

const BYTES = { k: 1024, m: 1024 ** 2, g: 1024 ** 3 } as const;

function bytesIn(text: string): number {
  const match = /^(\d{1,16})\s*([kmg])?b?$/i.exec(text);
  if (match === null) return Number.NaN;
  const unit = match[2]?.toLowerCase() as keyof typeof BYTES | undefined;
  return Number(match[1]) * (unit === undefined ? 1 : BYTES[unit]);
}

/** `1g`, `16k`, `8190`: the greatest unit that leaves a whole number. */
export function formatBytes(bytes: number): string {
  for (const unit of ['g', 'm', 'k'] as const) {
    if (bytes > 0 && bytes % BYTES[unit] === 0) return `${bytes / BYTES[unit]}${unit}`;
  }
  return String(bytes);
}

/** A size; a bare number is bytes, k, m and g are powers of 1024. */
export function size(least: number, most: number, zero = ''): Kind<number, NumberInput> {
  const form = `must be a size from ${formatBytes(least)} to ${formatBytes(most)}, in bytes or like 16k, 1m, 1g${zero && `; 0: ${zero}`}`;
  return {
    type: 'size',
    unit: 'bytes',
    range: `${formatBytes(least)} .. ${formatBytes(most)}`,
    form,
    placeholder: '<bytes>',
    schema: wholeWithin(form, least, most, bytesIn),
    format: formatBytes,
  };
}

export function oneOf<const Words extends readonly string[]>(
  ...words: Words
): Kind<Words[number], string | boolean> {
  const form = `must be one of ${words.join(', ')}`;
  return {
    type: 'word',
    unit: '',
    range: words.join(', '),
    form,
    placeholder: `<${words.join('|')}>`,
    schema: z
      .union([z.string(), z.boolean()], { error: form })
      // In a file `false` is the natural way to write off.
      .transform((value) => (value === false ? 'off' : String(value).trim().toLowerCase()))
      .pipe(z.enum(words, { error: form })),
    format: (value) => value,
  };
}

/** A file, the word `standard`, or `off`. Words are told apart in any case; a path is kept as it is. */
export function fileOrOff(standard: string): Kind<string | null, string | boolean | null> {
  const form = `must be a file, ${standard} or off`;
  return {
    type: 'file',
    unit: '',
    range: `path, ${standard}, off`,
    form,
    placeholder: `<file|${standard}|off>`,
    schema: z
      .union([z.string(), z.literal(false), z.null()], { error: form })
      .transform((value, context) => {
        const text = String(value ?? 'off').trim();
        if (/^(off|false|no)$/i.test(text)) return null;
        if (text.toLowerCase() === standard) return standard;
        if (text !== '' && !text.includes('\0')) return text;
        context.addIssue(form);
        return z.NEVER;
      }),
    format: (value) => value ?? 'off',
  };
}

export const EVERY_ADDRESS = '::';
const HOST_NAME =
  /^(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*$/i;

/** A host out of `HOST`, without brackets; null where it is none. `*` is every address. */
export function hostIn(text: string): string | null {
  const bracketed = /^\[([^\]%]+)\]$/.exec(text)?.[1];
  if (bracketed !== undefined) return isIPv6(bracketed) ? bracketed.toLowerCase() : null;
  if (text === '*') return EVERY_ADDRESS;
  // All digits and dots, yet no address: a mistyped one, not a name.
  if (isIPv4(text) || (HOST_NAME.test(text) && !/^[\d.]+$/.test(text))) return text.toLowerCase();
  return null;
}

export function portIn(text: string): number | null {
  return /^\d{1,5}$/.test(text) && Number(text) <= 65535 ? Number(text) : null;
}

/** `8080`, `127.0.0.1:8080`, `[::1]:8080`, `localhost:8080`, `*:8080`; null for anything else. */
function hostPortIn(text: string, everyHost: string): HostPort | null {
  const split = text.lastIndexOf(':');
  const host = split === -1 ? everyHost : hostIn(text.slice(0, split));
  const port = portIn(text.slice(split + 1));
  return host === null || port === null ? null : { host, port };
}

/** IPv6 addresses in brackets, as in a URL. */
export const formatHost = (host: string): string => (host.includes(':') ? `[${host}]` : host);
export const formatHostPort = ({ host, port }: HostPort): string => `${formatHost(host)}:${port}`;
/** With the protocol, where it is another than HTTP/1.1: `127.0.0.1:2525 smtp`. */
export const formatListen = (address: HostPort): string =>
  address.protocol === undefined
    ? formatHostPort(address)
    : `${formatHostPort(address)} ${address.protocol}`;

/** Name of a protocol; no address of `listen` is without a colon, and no port has letters. */
const PROTOCOL_NAME = /^[a-z][a-z0-9-]{0,23}$/i;
const HTTP = 'http';

/** Addresses with their protocols, as Apache's Listen has them; null for what is neither. */
function listensIn(texts: readonly string[]): (HostPort | null)[] {
  const found: (HostPort | null)[] = [];
  for (const text of texts) {
    const last = found.at(-1);
    // The blanks between several addresses are there as well.
    if (last == null || last.protocol !== undefined || !PROTOCOL_NAME.test(text)) {
      found.push(hostPortIn(text, EVERY_ADDRESS));
    } else found[found.length - 1] = { ...last, protocol: text.toLowerCase() };
  }
  return found;
}

/** HTTP/1.1 is what an address is for that names nothing. */
const plain = ({ protocol, ...address }: HostPort): HostPort =>
  protocol === undefined || protocol === HTTP ? address : { ...address, protocol };

/** One or more addresses to listen on; a list, or one text with commas or blanks between. */
export function addresses(): Kind<
  readonly HostPort[],
  string | number | readonly (string | number)[]
> {
  const form =
    'must be host:port or a port from 0 to 65535, a protocol behind it if it is not for HTTP, several in a list; IPv6 in brackets, like [::1]:8080';
  const one = z.union([z.string(), z.number()], { error: form });
  return {
    type: 'addresses',
    unit: '',
    range: 'host:port, port, host:port protocol',
    form,
    placeholder: '<host:port>',
    schema: z
      .union([one, z.array(one, { error: form }).readonly()], { error: form })
      .transform((value, context) => {
        // An address and its protocol are never on two sides of a comma.
        const texts = (typeof value === 'object' ? value : [value])
          .flatMap((item) => String(item).split(','))
          .map((item) => item.split(/\s+/).filter((text) => text !== ''))
          .filter((words) => words.length > 0);
        const found = texts.flatMap(listensIn);
        const wrong = texts.find((text) => listensIn(text).includes(null));
        const protocols = new Set(found.flatMap((address) => address?.protocol ?? []));
        protocols.delete(HTTP);
        if (texts.length === 0) context.addIssue(form);
        else if (wrong !== undefined) context.addIssue(`${form}; "${wrong.join(' ')}" is not`);
        else if (protocols.size > MAX_SESSION_PROTOCOLS) {
          context.addIssue(`must be for at most ${MAX_SESSION_PROTOCOLS} protocols besides HTTP`);
        } else return (found as HostPort[]).map(plain);
        return z.NEVER;
      }),
    format: (value) => value.map(formatListen).join(', '),
  };
}

/** One address or `off`; a bare port is that port of `host`. */
export function addressOrOff(
  host: string,
): Kind<HostPort | null, string | number | boolean | null> {
  const form = `must be host:port, a port from 0 to 65535 (on ${host}) or off; IPv6 in brackets`;
  return {
    type: 'address',
    unit: '',
    range: 'host:port, port, off',
    form,
    placeholder: '<host:port|off>',
    schema: z
      .union([z.string(), z.number(), z.literal(false), z.null()], { error: form })
      .transform((value, context) => {
        const text = String(value ?? 'off').trim();
        if (/^(off|false|no)$/i.test(text)) return null;
        const address = hostPortIn(text, host);
        if (address !== null) return address;
        context.addIssue(form);
        return z.NEVER;
      }),
    format: (value) => (value === null ? 'off' : formatHostPort(value)),
  };
}

export const LEAST_SECRET_CHARACTERS = 16;

/** A secret, or `@` and the file that holds it; `off`. A secret itself is never shown. */
export function secretOrOff(): Kind<string | null, string | false | null> {
  const form = `must be @ and the path of a file, at least ${LEAST_SECRET_CHARACTERS} printable ASCII characters without blanks, or off`;
  return {
    type: 'secret',
    unit: '',
    range: '@file, text, off',
    form,
    placeholder: '<@file|text|off>',
    schema: z
      .union([z.string(), z.literal(false), z.null()], { error: form })
      .transform((value, context) => {
        const text = String(value === null || value === false ? 'off' : value).trim();
        if (/^(off|false|no)$/i.test(text)) return null;
        if (/^@[^\0]+$/.test(text) || isSecret(text)) return text;
        context.addIssue(form);
        return z.NEVER;
      }),
    format: (value) => (value === null ? 'off' : value.startsWith('@') ? value : '(not shown)'),
  };
}

export const isSecret = (text: string): boolean =>
  text.length >= LEAST_SECRET_CHARACTERS && /^[\x21-\x7e]+$/.test(text) && !text.startsWith('@');

/** The absolute path of a folder, or `off`. */
export function folderOrOff(): Kind<string | null, string | false | null> {
  const form = 'must be the absolute path of a folder, or off';
  return {
    type: 'folder',
    unit: '',
    range: 'absolute path, off',
    form,
    placeholder: '<folder|off>',
    schema: z
      .union([z.string(), z.literal(false), z.null()], { error: form })
      .transform((value, context) => {
        const text = value === null || value === false ? 'off' : value.trim();
        if (/^(off|false|no)$/i.test(text)) return null;
        if (isAbsolute(text) && !text.includes('\0')) return resolve(text);
        context.addIssue(form);
        return z.NEVER;
      }),
    format: (value) => value ?? 'off',
  };
}

/**
 * A path as it stands in a request-target (RFC 9112, section 3.2.1), or `off`.
 * @param standard what `on` means
 */
export function pathOrOff(standard: string): Kind<string | null, string | boolean | null> {
  const form = `must be a path such as ${standard}, in ASCII and without a query, or off; on: ${standard}`;
  return {
    type: 'path',
    unit: '',
    range: '/path, on, off',
    form,
    placeholder: '</path|off>',
    schema: z
      .union([z.string(), z.boolean(), z.null()], { error: form })
      .transform((value, context) => {
        const text = String(value ?? 'off').trim();
        if (/^(off|false|no)$/i.test(text)) return null;
        if (/^(on|true|yes)$/i.test(text)) return standard;
        // As they come: a character that clients encode would never match.
        if (text.length <= 255 && /^\/[\w\-.~!$&'()*+,;=:@%/]+$/.test(text)) return text;
        context.addIssue(form);
        return z.NEVER;
      }),
    format: (value) => value ?? 'off',
  };
}

/** Networks in a list or in one text with commas or blanks between; `off`: none. */
export function networks(
  whose = 'proxies',
): Kind<readonly string[], string | false | null | readonly string[]> {
  const form = `must be off or networks of ${whose}: loopback, private, addresses like 192.0.2.1 or prefixes like 10.0.0.0/8, several in a list`;
  const text = z.string({ error: form });
  return {
    type: 'networks',
    unit: '',
    range: 'loopback, private, address, prefix, off',
    form,
    placeholder: '<networks|off>',
    schema: z
      .union([text, z.literal(false), z.null(), z.array(text, { error: form }).readonly()], {
        error: form,
      })
      .transform((value, context) => {
        const given = typeof value === 'string' ? [value] : value || ['off'];
        const texts = given
          .flatMap((item) => item.toLowerCase().split(/[\s,]+/))
          .filter((item) => item !== '');
        if (texts.length === 1 && /^(off|false|no)$/.test(texts[0] as string)) return [];
        const wrong = texts.find((item) => !isNetwork(item));
        if (texts.length === 0) context.addIssue(form);
        else if (wrong !== undefined) context.addIssue(`${form}; "${wrong}" is not`);
        else return texts;
        return z.NEVER;
      }),
    format: (value) => (value.length === 0 ? 'off' : value.join(', ')),
  };
}
