/**
 * The table of directives.
 *
 * Role: one literal table, in parts by subject (table/); defaults, --help, docs/directives.md, variables and
 * flags derive from it. Its order is the order of every listing.
 * Thread: main; constants only.
 */
import type { Directives } from './directives.ts';
import { OBSERVATION } from './table/observation.ts';
import { REQUESTS } from './table/requests.ts';
import { SOCKETS } from './table/sockets.ts';
import { WORKERS } from './table/workers.ts';

export { GROUPS, type Group } from './table/directive.ts';

export const DIRECTIVES = { ...SOCKETS, ...WORKERS, ...REQUESTS, ...OBSERVATION };

export type DirectiveName = keyof typeof DIRECTIVES;
/** In the order of the table. */
export const NAMES = Object.keys(DIRECTIVES) as readonly DirectiveName[];

/** What a configuration file or an options object may hold. */
export type DirectivesInput = {
  readonly [Name in DirectiveName]?: (typeof DIRECTIVES)[Name]['kind']['schema']['_zod']['input'];
};

/** An error here: a member of Directives that no directive fills. */
type Unfilled = Exclude<
  keyof Directives,
  (typeof DIRECTIVES)[DirectiveName]['key'] | 'connectionBufferBytes'
>;
const COMPLETE: [Unfilled] extends [never] ? true : Unfilled = true;
void COMPLETE;

const ONE_THREAD = 'does not exist here, where a child is one thread; set maxRequestWorkers';

/** Names that are known and refused, so that nobody relies on what is not done. */
export const REFUSED: Readonly<Record<string, string>> = {
  lengthy: 'is said by the entry: export const lengthy = [...]',
  maxLengthyWorkers: 'is called lengthyWorkers here',
  threadsPerChild: ONE_THREAD,
  serverLimit: ONE_THREAD,
};
