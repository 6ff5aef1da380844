/**
 * A real Prometheus that scrapes a server every second, in a temporary folder, on a port of its own.
 */
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { eventually } from './server-process.ts';

export const GRAFANA = fileURLToPath(new URL('../../grafana/', import.meta.url));

/** Both come with Debian's package `prometheus`. */
export const hasPrometheus = ['prometheus', 'promtool'].every(
  (program) => spawnSync(program, ['--version']).status === 0,
);
export const SKIPPED = 'skipped: prometheus and promtool are missing (Debian package prometheus)';

/** Runs promtool; its exit code and all it said. */
export function promtool(args: readonly string[], input = '') {
  const { status, stdout, stderr } = spawnSync('promtool', [...args], {
    input,
    encoding: 'utf8',
    timeout: 20_000,
    cwd: GRAFANA,
  });
  return { status, output: stdout + stderr };
}

export interface Series {
  readonly metric: Readonly<Record<string, string>>;
  readonly values: readonly (readonly [time: number, value: string])[];
}

export interface PrometheusProcess {
  /** `data` of the answer of its HTTP API. */
  api<T>(path: string, parameters?: Readonly<Record<string, string>>): Promise<T>;
  /** All it printed. */
  output(): string;
  stop(): Promise<void>;
}

/** Jobs by name, each with its only target and parameters of the scrape. */
export type Jobs = Readonly<Record<string, { target: string; params?: Record<string, string[]> }>>;

/** Starts it with the alert rules of grafana/; resolves when it answers. */
export async function startPrometheus(jobs: Jobs): Promise<PrometheusProcess> {
  const folder = mkdtempSync(join(tmpdir(), 'hybrid-mpm-prometheus-'));
  const port = await freePort();
  // JSON is YAML as well.
  const config = {
    global: { scrape_interval: '1s', scrape_timeout: '1s', evaluation_interval: '1s' },
    rule_files: [join(GRAFANA, 'rules/alerts.yml')],
    scrape_configs: Object.entries(jobs).map(([job_name, { target, params = {} }]) => ({
      job_name,
      params,
      static_configs: [{ targets: [target] }],
    })),
  };
  const file = join(folder, 'prometheus.json');
  writeFileSync(file, JSON.stringify(config));
  const child = spawn(
    'prometheus',
    [
      `--config.file=${file}`,
      `--storage.tsdb.path=${join(folder, 'data')}`,
      `--web.listen-address=127.0.0.1:${port}`,
    ],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  );
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
  }
  const exited = new Promise<void>((resolve) => {
    child.on('exit', () => resolve());
  });
  const stop = async () => {
    child.kill('SIGTERM');
    const timer = setTimeout(() => child.kill('SIGKILL'), 5_000);
    await exited;
    clearTimeout(timer);
    rmSync(folder, { recursive: true, force: true });
  };
  const url = `http://127.0.0.1:${port}`;
  try {
    await eventually(
      () => {
        if (child.exitCode !== null) throw new Error(`prometheus ended: ${output}`);
        return fetch(`${url}/-/ready`, { signal: AbortSignal.timeout(2_000) }).then(
          ({ ok }) => ok,
          () => false,
        );
      },
      (ready) => ready,
      15_000,
    );
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    api: async <T>(path: string, parameters = {}) => {
      const query = new URLSearchParams(parameters);
      const response = await fetch(`${url}/api/v1/${path}?${query}`, {
        signal: AbortSignal.timeout(10_000),
      });
      const answer = (await response.json()) as { status: string; error?: string; data: T };
      if (answer.status !== 'success') throw new Error(`${path} ${query}: ${answer.error}`);
      return answer.data;
    },
    output: () => output,
    stop,
  };
}

/** One that the kernel had free a moment ago; Prometheus cannot say which one it was given. */
function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}
