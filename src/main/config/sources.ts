/**
 * Where settings come from: configuration file, environment, flags.
 *
 * Role: collects settings in rising order of precedence for `resolve`, and the problems on the way.
 * Thread: main, at start; a later reload may call it again.
 * May not: judge values; that is the table's.
 */
import type { HostPort, Setting } from './directives.ts';
import { type Resolution, resolve } from './directives.ts';
import { ENVIRONMENT_PREFIX, ErrorCode, type Origin, type Problem, variableOf } from './errors.ts';
import { type ConfigFile, readConfigFile } from './file.ts';
import { hostIn, portIn } from './kinds.ts';
import { type Machine, thisMachine } from './machine.ts';
import { DIRECTIVES, NAMES, REFUSED } from './table.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

export interface Sources {
  /** Where a configuration file is looked for, and what a relative `configFile` is relative to. */
  readonly directory: string;
  /** An explicit configuration file, instead of a look into `directory`. */
  readonly configFile?: string | undefined;
  readonly environment: Environment;
  /** Settings from the command line, in its order. */
  readonly flags?: readonly Setting[];
  /** Default: the machine this runs on. */
  readonly machine?: Machine;
}

export interface Configuration extends Resolution {
  /** Path of the configuration file that was read, null where there is none. */
  readonly file: string | null;
}

const BY_VARIABLE = new Map(
  [...NAMES, ...Object.keys(REFUSED)].map((name) => [variableOf(name), name]),
);

/** Settings out of HYBRID_MPM_ variables; one that names no directive keeps its own name. */
export function environmentSettings(environment: Environment): Setting[] {
  return (
    Object.entries(environment)
      .filter(([name, value]) => name.startsWith(ENVIRONMENT_PREFIX) && value !== undefined)
      // Says which server it is to be, not how it behaves.
      .filter(([name]) => name !== 'HYBRID_MPM_NATIVE')
      .map(([name, value]) => ({
        directive: BY_VARIABLE.get(name) ?? name,
        value,
        origin: { kind: 'environment', name } as const,
      }))
  );
}

/**
 * What PORT and HOST, the customary variables of hosting platforms, make of `listen`.
 *
 * They replace port and host of the default, or of the file's address where it has exactly one. Empty
 * ones count as unset, since shells and compose files leave such behind.
 *
 * @param below the settings of weaker sources
 */
export function platformSettings(
  environment: Environment,
  below: readonly Setting[],
): { settings: Setting[]; problems: Problem[] } {
  const PORT = environment.PORT?.trim() || undefined;
  const HOST = environment.HOST?.trim() || undefined;
  const names = [...(HOST === undefined ? [] : ['HOST']), ...(PORT === undefined ? [] : ['PORT'])];
  if (names.length === 0) return { settings: [], problems: [] };
  const problems: Problem[] = [];
  const fault = (name: string, value: string, allowed: string) =>
    problems.push({
      code: ErrorCode.directive,
      directive: 'listen',
      value,
      origin: { kind: 'environment', name },
      allowed,
      known: true,
    });
  const port = PORT === undefined ? null : portIn(PORT);
  // HOST may hold an IPv6 address without brackets; a port never follows it.
  const host = HOST === undefined ? null : (hostIn(HOST) ?? hostIn(`[${HOST}]`));
  if (PORT !== undefined && port === null) fault('PORT', PORT, 'must be a port from 0 to 65535');
  if (HOST !== undefined && host === null) fault('HOST', HOST, 'must be an address or a host name');
  if (problems.length > 0) return { settings: [], problems };
  const lower = below.findLast(({ directive }) => directive === 'listen');
  const parsed = DIRECTIVES.listen.kind.schema.safeParse(lower?.value);
  const sole = parsed.success && parsed.data.length === 1 ? parsed.data[0] : undefined;
  const base: HostPort = sole ?? { host: '::', port: 8080 };
  const value = DIRECTIVES.listen.kind.format([
    { ...base, host: host ?? base.host, port: port ?? base.port },
  ]);
  const origin: Origin = { kind: 'environment', name: names.join(' and ') };
  return { settings: [{ directive: 'listen', value, origin }], problems };
}

/**
 * The effective configuration: defaults < file < PORT and HOST < HYBRID_MPM_ variables < flags.
 *
 * @throws ConfigError with every problem of every source
 */
export async function loadConfiguration(sources: Sources): Promise<Configuration> {
  const { directory, configFile, environment, flags = [], machine = thisMachine() } = sources;
  const file: ConfigFile = await readConfigFile(directory, configFile);
  const platform = platformSettings(environment, file.settings);
  const settings = [
    ...file.settings,
    ...platform.settings,
    ...environmentSettings(environment),
    ...flags,
  ];
  const problems = [...file.problems, ...platform.problems];
  return { ...resolve(settings, machine, problems), file: file.path };
}
