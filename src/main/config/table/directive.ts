/**
 * What one entry of the table of directives says.
 *
 * Thread: main; constants only.
 */
import type { Directives } from '../directives.ts';
import type { Kind } from '../kinds.ts';
import type { Machine } from '../machine.ts';

export const GROUPS = {
  sockets: 'Addresses and sockets',
  workers: 'Workers',
  time: 'Keep-alive and timeouts',
  limits: 'Limits on requests',
  files: 'Static files',
  observation: 'Observation',
} as const;
export type Group = keyof typeof GROUPS;

export interface Specification<Key extends keyof Directives, Input> {
  readonly group: Group;
  /** The member of `Directives` that it fills. */
  readonly key: Key;
  readonly kind: Kind<Directives[Key], Input>;
  /** The default; may depend on what was given for other directives, so that both agree. */
  readonly initial: (machine: Machine, given: Partial<Directives>) => Directives[Key];
  /** The default in words where it depends on the machine; otherwise it is rendered. */
  readonly initially?: string;
  /** For --help; no full stop. */
  readonly summary: string;
  /** What it means. */
  readonly meaning: string;
  /** When to change it. */
  readonly change: string;
  /** Apache's directive, or where the idea is from. */
  readonly source: string;
}

/** Ties a directive's kind and default to the member of `Directives` that it fills. */
export const directive = <const Key extends keyof Directives, Input>(
  specification: Specification<Key, Input>,
): Specification<Key, Input> => specification;

export const MAX_COUNT = 2 ** 31 - 1;
export const DAY_MS = 86_400_000;
