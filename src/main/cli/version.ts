/**
 * The version of this package, from its package.json.
 *
 * Thread: main.
 */
import { readFileSync } from 'node:fs';

/** E.g. `0.1.0`. package.json lies three folders up, from src and from dist alike. */
export function packageVersion(): string {
  const text = readFileSync(new URL('../../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}
