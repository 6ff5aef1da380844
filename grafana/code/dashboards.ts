/** The dashboards by the name of their file, as the text of that file. */
import { overview } from './overview.ts';
import { tuning } from './tuning.ts';

export function dashboards(): ReadonlyMap<string, string> {
  const all = { 'hybrid-mpm.json': overview(), 'max-connections-per-child.json': tuning() };
  return new Map(
    Object.entries(all).map(([file, made]) => [file, `${JSON.stringify(made, null, 2)}\n`]),
  );
}
