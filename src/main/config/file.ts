/**
 * The configuration file: finding it, reading it, its settings.
 *
 * Role: mpm.config.json as JSON, mpm.config.{js,mjs,ts} as a module whose default export is an object.
 * Thread: main, at start. A module file runs the user's code in this thread.
 */
import { existsSync, statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { basename, extname, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Setting } from './directives.ts';
import { ErrorCode, type Problem } from './errors.ts';

export const CONFIG_FILE_NAMES = [
  'mpm.config.json',
  'mpm.config.js',
  'mpm.config.mjs',
  'mpm.config.ts',
] as const;

export interface ConfigFile {
  /** Absolute; null where there is none. */
  readonly path: string | null;
  readonly settings: readonly Setting[];
  readonly problems: readonly Problem[];
}

/** A problem of the file as a whole, to be reported beside those of other sources. */
const unusable = (path: string, allowed: string): ConfigFile => ({
  path,
  settings: [],
  problems: [
    {
      code: ErrorCode.file,
      directive: '',
      value: undefined,
      origin: { kind: 'file', name: path },
      allowed,
      known: true,
    },
  ],
});

const onOneLine = (error: unknown): string =>
  String(error instanceof Error ? error.message : error)
    .replace(/\s+/g, ' ')
    .trim();

/** Whether this Node strips types: 22.18, 23.6 and later, or with its flag. */
export const stripsTypes = (features: object = process.features): boolean =>
  'typescript' in features && Boolean(features.typescript);

async function load(path: string): Promise<unknown> {
  if (extname(path) === '.json') {
    // A byte order mark is a common gift of editors, and JSON.parse rejects it.
    return JSON.parse((await readFile(path, 'utf8')).replace(/^\uFEFF/, '')) as unknown;
  }
  const url = pathToFileURL(path);
  // Modules are cached by address: a file that changed needs another one.
  url.searchParams.set('mtime', String(statSync(path).mtimeMs));
  const module = (await import(url.href)) as { default?: unknown };
  return module.default;
}

/**
 * Settings of one file.
 *
 * @param path absolute
 */
async function read(path: string): Promise<ConfigFile> {
  const extension = extname(path);
  if (!['.json', '.js', '.mjs', '.cjs', '.ts', '.mts'].includes(extension)) {
    return unusable(path, 'must end in .json, .js, .mjs or .ts');
  }
  if (extension.endsWith('ts') && !stripsTypes()) {
    return unusable(
      path,
      `this Node (${process.version}) cannot load TypeScript; run Node 22.18 or later, or write it as .mjs`,
    );
  }
  let value: unknown;
  try {
    value = await load(path);
  } catch (error) {
    return unusable(path, `cannot be read: ${onOneLine(error)}`);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    const what = extension === '.json' ? 'hold one object' : 'export one object as its default';
    return unusable(path, `must ${what} with directives as its members`);
  }
  const origin = { kind: 'file', name: path } as const;
  const settings = Object.entries(value)
    // In a module, `timeout: undefined` means that it is not given.
    .filter(([, given]) => given !== undefined)
    .map(([directive, given]: [string, unknown]) => ({ directive, value: given, origin }));
  return { path, settings, problems: [] };
}

/**
 * The explicit file, or the one in the directory, or none.
 *
 * @param directory where to look, and what `explicit` is relative to
 * @param explicit a path that must exist
 */
export async function readConfigFile(directory: string, explicit?: string): Promise<ConfigFile> {
  if (explicit !== undefined) {
    const path = resolve(directory, explicit);
    return existsSync(path) ? read(path) : unusable(path, 'no such file');
  }
  const found = CONFIG_FILE_NAMES.map((name) => resolve(directory, name)).filter(existsSync);
  const [path] = found;
  if (path === undefined) return { path: null, settings: [], problems: [] };
  if (found.length === 1) return read(path);
  const names = found.map((each) => basename(each)).join(', ');
  return unusable(directory, `several configuration files (${names}); keep one or use --config`);
}
