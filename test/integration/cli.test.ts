// The program as a user runs it: node dist/main/cli.js, built by `npm run build:ts`.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fixture } from '../support/server-process.ts';

const CLI = fileURLToPath(new URL('../../dist/main/cli.js', import.meta.url));
const PACKAGE = new URL('../../package.json', import.meta.url);

interface Run {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

let directory = '';
beforeAll(() => {
  if (!existsSync(CLI)) throw new Error(`${CLI} is missing: npm run build:ts`);
  directory = mkdtempSync(join(tmpdir(), 'mpm-cli-'));
});
afterAll(() => rmSync(directory, { recursive: true }));

/** Runs the program to its end in an empty folder, with no environment but what is given. */
function run(argv: readonly string[], environment: Record<string, string> = {}): Promise<Run> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [CLI, ...argv], {
      cwd: directory,
      env: environment,
      timeout: 20_000,
    });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, stdout, stderr }));
  });
}

/** Lines of a text that ends with a line end. */
const lines = (text: string): string[] => text.split('\n').slice(0, -1);

describe('hybrid-mpm', () => {
  it.each(['--help', '-h'])('%s explains itself within 100 columns', async (flag) => {
    const { code, stdout, stderr } = await run([flag]);
    expect(code).toBe(0);
    expect(stderr).toBe('');
    expect(stdout).toContain('hybrid-mpm serve <entry>');
    expect(stdout).toContain('--keep-alive-timeout <seconds>');
    expect(lines(stdout).filter((line) => line.length > 100)).toEqual([]);
  });

  it('--version prints that of the package', async () => {
    const { version } = JSON.parse(readFileSync(PACKAGE, 'utf8')) as { version: string };
    expect(await run(['--version'])).toEqual({ code: 0, stdout: `${version}\n`, stderr: '' });
  });

  it.each([
    [['serve', 'x.mjs', '--keep-alive-timout', '5'], 'did you mean --keep-alive-timeout?'],
    [['check-konfig'], 'did you mean check-config?'],
    [['serve'], 'serve needs the module of the handler'],
    [[], 'no command; use serve, run, check-config or status'],
  ])('%j is one clear line and exit code 2', async (argv, message) => {
    const { code, stdout, stderr } = await run(argv);
    expect(code).toBe(2);
    expect(stdout).toBe('');
    expect(lines(stderr)).toEqual([expect.stringContaining(message)]);
  });
});

describe('check-config', () => {
  it('prints each value with its origin and ends with 0', async () => {
    const config = join(directory, 'good.json');
    writeFileSync(config, '{"timeout": 10, "limitRequestFields": 50}');
    const { code, stdout, stderr } = await run(
      ['check-config', '--config', 'good.json', '--keep-alive-timeout', '5'],
      { HYBRID_MPM_SERVER_TOKENS: 'prod', PORT: '3000' },
    );
    expect(stderr).toBe('');
    expect(code).toBe(0);
    expect(stdout).toMatch(/^timeout +10s +file \S+good\.json$/m);
    expect(stdout).toMatch(/^keepAliveTimeout +5s +flag --keep-alive-timeout$/m);
    expect(stdout).toMatch(/^serverTokens +prod +environment HYBRID_MPM_SERVER_TOKENS$/m);
    expect(stdout).toMatch(/^listen +\[::\]:3000 +environment PORT$/m);
    expect(stdout).toMatch(/^listenBacklog +511 +default$/m);
  });

  it('reports every mistake of every source, a line each, and ends with 1', async () => {
    writeFileSync(join(directory, 'bad.json'), '{"timeout": "soon", "lengthy": "/s"}');
    const { code, stdout, stderr } = await run(
      ['check-config', '--config', 'bad.json', '--start-servers=9', '--max-request-workers=8'],
      { HYBRID_MPM_KEEPALIVE: 'on' },
    );
    expect(code).toBe(1);
    expect(stdout).toBe('');
    const prefix = 'hybrid-mpm: ERR_MPM_DIRECTIVE: ';
    expect(lines(stderr)).toEqual([
      expect.stringMatching(/timeout = "soon" \(file \S+bad\.json\): must be a time/),
      expect.stringMatching(/lengthy = "\/s" \(file \S+bad\.json\): is said by the entry/),
      `${prefix}environment HYBRID_MPM_KEEPALIVE: unknown directive, did you mean HYBRID_MPM_KEEP_ALIVE?`,
      `${prefix}startServers = "9" (flag --start-servers): startServers (9) must be at most maxRequestWorkers (8)`,
    ]);
  });

  it('names a configuration file that does not exist', async () => {
    const { code, stderr } = await run(['check-config', '--config', 'none.json']);
    expect(code).toBe(1);
    expect(lines(stderr)).toEqual([
      expect.stringMatching(/ERR_MPM_CONFIG_FILE: file \S+none\.json: no such file$/),
    ]);
  });
});

describe('serve', () => {
  it('names an entry that does not exist', async () => {
    const { code, stdout, stderr } = await run(['serve', 'nowhere.mjs']);
    expect(code).toBe(1);
    expect(stdout).toBe('');
    expect(lines(stderr)).toEqual([
      `hybrid-mpm: ERR_MPM_ENTRY_NOT_FOUND: nowhere.mjs does not exist (${join(directory, 'nowhere.mjs')})`,
    ]);
  });

  it('starts nothing with an invalid configuration', async () => {
    writeFileSync(join(directory, 'app.mjs'), 'console.log("loaded");');
    const { code, stdout, stderr } = await run(['serve', 'app.mjs', '--timeout', 'never']);
    expect(code).toBe(1);
    expect(stdout).toBe('');
    expect(lines(stderr)).toEqual([expect.stringContaining('timeout = "never" (flag --timeout)')]);
  });
});

describe('serve, when it cannot start', () => {
  const serve = (...argv: string[]) =>
    run(['serve', ...argv, '--admin', 'off'], { TEST_BROKEN_FLAG: CLI });

  it('says in one line that the application threw, and exits with 1', async () => {
    const { code, stderr } = await serve(fixture('breakable.mjs'), '--listen', '127.0.0.1:0');
    expect(code).toBe(1);
    expect(stderr.trim().split('\n')).toHaveLength(1);
    expect(stderr).toContain('ERR_MPM_ENTRY_FAILED');
    expect(stderr).toContain('broken on purpose');
  });

  it('says in one line that the address is in use, and exits with 1', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const { port } = other.address() as AddressInfo;
    const { code, stderr } = await serve(fixture('app.mjs'), '--listen', `127.0.0.1:${port}`);
    other.close();
    expect(code).toBe(1);
    expect(stderr.trim().split('\n')).toHaveLength(1);
    expect(stderr).toContain('ERR_MPM_ADDRESS_IN_USE');
    expect(stderr).toContain(String(port));
  });
});
