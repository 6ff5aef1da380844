/**
 * The metrics of the community's apache_exporter, for dashboards that already query them.
 *
 * Role: reads the very text that the exporter reads, `?auto`, and gives each line the exporter's name,
 * unit and type; so both ways lead to the same series. Names and rules: Lusitaniae/apache_exporter,
 * collector/collector.go.
 * Thread: the admin thread. May not: be added to a scrape unasked; some names break Prometheus's rules
 * (milliseconds, kilobytes).
 */
import type { Snapshot } from '../snapshot.ts';
import { type StatusFigures, statusAuto } from '../status-auto.ts';
import { counter, type Family, gauge, plain, type Sample } from './family.ts';

/** Letters of the scoreboard as the exporter calls them; a letter it does not know stands for itself. */
const SCOREBOARD: Readonly<Record<string, string>> = {
  _: 'idle',
  S: 'startup',
  R: 'read',
  W: 'reply',
  K: 'keepalive',
  D: 'dns',
  C: 'closing',
  L: 'logging',
  G: 'graceful_stop',
  I: 'idle_cleanup',
  '.': 'open_slot',
};

/** `Apache/2.4.62 (Unix)` to 2.04062: minor with two digits, patch with three. */
export function versionNumber(serverVersion: string): number {
  const [major = '0', minor = '0', patch = '0'] =
    /\/(\d+)\.(\d+)\.(\d+)/.exec(serverVersion)?.slice(1) ?? [];
  return Number(`${major}.${minor.padStart(2, '0')}${patch.padStart(3, '0')}`);
}

/** Families for one scrape; the figures are read when they are asked for. */
export function apacheFamilies(figures: () => StatusFigures): readonly Family[] {
  let held: { readonly now: Snapshot; readonly keys: ReadonlyMap<string, string> } | null = null;
  const keys = (now: Snapshot): ReadonlyMap<string, string> => {
    if (held?.now !== now) held = { now, keys: keysOf(statusAuto(now, figures())) };
    return held.keys;
  };
  /** No sample where the key is missing, as at the exporter. */
  const number = (now: Snapshot, key: string, factor = 1): Sample[] => {
    const text = keys(now).get(key);
    return text === undefined ? [] : plain(Number(text) * factor);
  };
  const by = (label: string, now: Snapshot, names: Readonly<Record<string, string>>): Sample[] =>
    Object.entries(names).flatMap(([value, key]) =>
      number(now, key).map((sample) => ({ ...sample, labels: { [label]: value } })),
    );
  const text = (now: Snapshot, key: string) => keys(now).get(key) ?? 'UNKNOWN';
  return [
    gauge('apache_up', '1: the server answers.', () => plain(1)),
    gauge('apache_version', 'Version as a number: major.mmppp.', (now) =>
      plain(versionNumber(text(now, 'ServerVersion'))),
    ),
    gauge('apache_info', 'Version and kind of the server.', (now) => [
      { value: 1, labels: { version: text(now, 'ServerVersion'), mpm: text(now, 'ServerMPM') } },
    ]),
    gauge('apache_generation', 'Generation of configuration and children.', (now) =>
      by('type', now, { config: 'ParentServerConfigGeneration', mpm: 'ParentServerMPMGeneration' }),
    ),
    gauge('apache_load', 'Load of the machine.', (now) =>
      by('interval', now, { '1min': 'Load1', '5min': 'Load5', '15min': 'Load15' }),
    ),
    counter('apache_accesses_total', 'Requests answered.', (now) => number(now, 'Total Accesses')),
    counter('apache_sent_kilobytes_total', 'Kibibytes sent.', (now) => number(now, 'Total kBytes')),
    counter('apache_duration_ms_total', 'Duration of all requests, milliseconds.', (now) =>
      number(now, 'Total Duration'),
    ),
    counter('apache_cpu_time_ms_total', 'Processor time, milliseconds.', (now) =>
      (['User', 'System'] as const).map((kind) => {
        const seconds = Number(text(now, `CPU${kind}`)) + Number(text(now, `CPUChildren${kind}`));
        return { value: seconds * 1000, labels: { type: kind.toLowerCase() } };
      }),
    ),
    gauge(
      'apache_cpuload',
      'Processor time since the start, percent of one processor.',
      // The exporter's gauge is 0 until there is a value.
      (now) => plain(Number(keys(now).get('CPULoad') ?? 0)),
    ),
    counter('apache_uptime_seconds_total', 'Seconds since the start.', (now) =>
      number(now, 'Uptime'),
    ),
    gauge('apache_workers', 'Workers by state.', (now) =>
      by('state', now, { busy: 'BusyWorkers', idle: 'IdleWorkers' }),
    ),
    gauge('apache_processes', 'Processes by state.', (now) =>
      by('state', now, { all: 'Processes', stopping: 'Stopping' }),
    ),
    gauge('apache_connections', 'Connections by state.', (now) =>
      by('state', now, {
        total: 'ConnsTotal',
        writing: 'ConnsAsyncWriting',
        keepalive: 'ConnsAsyncKeepAlive',
        closing: 'ConnsAsyncClosing',
      }),
    ),
    gauge('apache_scoreboard', 'Worker slots by letter of the scoreboard.', (now) =>
      scoreboard(text(now, 'Scoreboard')),
    ),
  ];
}

function keysOf(auto: string): ReadonlyMap<string, string> {
  const pairs = auto.split('\n').map((line): [string, string] => {
    const colon = line.indexOf(':');
    return colon < 0 ? [line, ''] : [line.slice(0, colon).trim(), line.slice(colon + 1).trim()];
  });
  return new Map(pairs);
}

function scoreboard(letters: string): Sample[] {
  const counts = new Map(Object.values(SCOREBOARD).map((state) => [state, 0]));
  for (const letter of letters) {
    const state = SCOREBOARD[letter] ?? letter;
    counts.set(state, (counts.get(state) ?? 0) + 1);
  }
  return [...counts].map(([state, value]) => ({ value, labels: { state } }));
}
