/**
 * `hybrid-mpm check-config`: the effective configuration, each value with its origin.
 *
 * Thread: main; pure functions.
 */
import { written } from '../config/directives.ts';
import { describeOrigin } from '../config/errors.ts';
import { formatBytes } from '../config/kinds.ts';
import type { Configuration } from '../config/sources.ts';
import { DIRECTIVES, NAMES } from '../config/table.ts';

/** Lines of three columns: directive, value as it would be written, origin. */
export function configurationText({ directives, origins, file }: Configuration): string {
  const rows = NAMES.map((name) => {
    const origin = origins.get(name);
    const source = origin === undefined ? 'default' : describeOrigin(origin);
    const { initially } = DIRECTIVES[name];
    const why = origin?.kind === 'default' && initially !== undefined ? `: ${initially}` : '';
    return [name, written(directives, name), source + why] as const;
  });
  const buffer = formatBytes(directives.connectionBufferBytes);
  const derived = 'derived: limitRequestLine + limitRequestFieldSize';
  const all = [...rows, ['(connection buffer)', buffer, derived] as const];
  const nameColumns = Math.max(...all.map(([name]) => name.length)) + 2;
  const valueColumns = Math.max(...all.map(([, value]) => value.length)) + 2;
  return [
    `configuration is valid; file: ${file ?? 'none'}`,
    ...all.map(
      ([name, value, origin]) => name.padEnd(nameColumns) + value.padEnd(valueColumns) + origin,
    ),
    '',
  ].join('\n');
}
