/**
 * What is wrong with a configuration, in lines that a user can act on.
 *
 * Role: `ConfigError` carries all problems found; each names directive, value, allowed form, source.
 * Thread: main.
 */
import { visible } from '../admin/visible.ts';

export const ErrorCode = {
  /** A directive is unknown, refused, or its value is impossible. */
  directive: 'ERR_MPM_DIRECTIVE',
  /** A configuration file cannot be found or read. */
  file: 'ERR_MPM_CONFIG_FILE',
} as const;
export type ErrorCode = (typeof ErrorCode)[keyof typeof ErrorCode];

/** A source of values. `name`: the file's path, the variable, the flag, or what the caller said. */
export interface Origin {
  readonly kind: 'default' | 'file' | 'environment' | 'flag' | 'code';
  readonly name: string;
}

export interface Problem {
  readonly code: ErrorCode;
  /** The directive's name; for an unknown one as it was written; '' where a whole file is at fault. */
  readonly directive: string;
  readonly value: unknown;
  readonly origin: Origin;
  /** The allowed range or form, or why it is refused. */
  readonly allowed: string;
  /** The nearest known name. */
  readonly suggestion?: string | null;
  /** False for a name that is in no table; its value says nothing then. */
  readonly known: boolean;
}

/** camelCase to SCREAMING_SNAKE behind the prefix. */
export const ENVIRONMENT_PREFIX = 'HYBRID_MPM_';
export const variableOf = (directive: string): string =>
  ENVIRONMENT_PREFIX + directive.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase();
/** camelCase to --kebab-case. */
export const flagOf = (directive: string): string =>
  `--${directive.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;

/** A directive in the spelling of the source that it came from. */
export function spelled(directive: string, kind: Origin['kind']): string {
  if (kind === 'environment') return variableOf(directive);
  return kind === 'flag' ? flagOf(directive) : directive;
}

const MAX_SHOWN = 80;

/** A value for a message: on one line, bounded, strings quoted. */
export function shown(value: unknown): string {
  let text: string | undefined;
  try {
    text = JSON.stringify(value);
  } catch {
    // A cycle or a BigInt; the general form below will do.
  }
  text ??= String(value);
  return text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}...` : text;
}

/** `environment HYBRID_MPM_LISTEN`, `file /srv/mpm.config.json`, `flag --listen`, `default`. */
export function describeOrigin({ kind, name }: Origin): string {
  return kind === 'default' || kind === 'code' ? name : `${kind} ${name}`;
}

/**
 * One line, without the code. Names and values are a stranger's as often as not: what would end the line
 * or change the terminal is written out.
 */
export const describe = (problem: Problem): string => visible(plainly(problem));

function plainly(problem: Problem): string {
  const { directive, value, origin, allowed, suggestion, known } = problem;
  const from = describeOrigin(origin);
  if (directive === '') return `${from}: ${allowed}`;
  const hint = suggestion ? ` ${spelled(suggestion, origin.kind)}?` : '';
  // Of a name that means nothing the source says it all, where the source is that name.
  if (!known && directive === origin.name) return `${from}: ${allowed}${hint}`;
  const subject = known ? `${directive} = ${shown(value)}` : directive;
  return `${subject} (${from}): ${allowed}${hint}`;
}

/** Everything that is wrong with a configuration. `message`: a line for each problem. */
export class ConfigError extends Error {
  /** That of the first problem. */
  readonly code: ErrorCode;
  readonly problems: readonly Problem[];

  /** @param problems at least one */
  constructor(problems: readonly Problem[]) {
    super(problems.map(describe).join('\n'));
    this.name = 'ConfigError';
    this.code = problems[0]?.code ?? ErrorCode.directive;
    this.problems = problems;
  }

  /** A line for each problem, each with its code. */
  get lines(): readonly string[] {
    return this.problems.map((problem) => `${problem.code}: ${describe(problem)}`);
  }
}

/** Edits (insert, delete, replace) from one name to the other, case and punctuation aside. */
function distance(left: string, right: string): number {
  let previous = Array.from({ length: right.length + 1 }, (_, index) => index);
  for (let row = 1; row <= left.length; row++) {
    const current = [row];
    for (let column = 1; column <= right.length; column++) {
      const replaced = (previous[column - 1] ?? 0) + (left[row - 1] === right[column - 1] ? 0 : 1);
      const inserted = (current[column - 1] ?? 0) + 1;
      current.push(Math.min(replaced, inserted, (previous[column] ?? 0) + 1));
    }
    previous = current;
  }
  return previous[right.length] ?? 0;
}

const bare = (name: string): string => name.toLowerCase().replace(/[^a-z0-9]/g, '');

/** The name that was probably meant, null where none is near. */
export function nearest(name: string, names: readonly string[]): string | null {
  // A name of a thousand letters is no typing error, and comparing it would take a while.
  const wanted = bare(name).slice(0, 64);
  let best: string | null = null;
  let least = Math.floor(wanted.length / 3) + 1;
  for (const candidate of names) {
    const edits = distance(wanted, bare(candidate));
    if (edits < least) {
      least = edits;
      best = candidate;
    }
  }
  return best;
}
