/** The soak, for seconds: it passes on this server, and says what is wrong with its options. */
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';

const SOAK = fileURLToPath(new URL('../../bench/soak.mjs', import.meta.url));
const DEADLINE_MS = 230_000;
const folder = mkdtempSync(join(tmpdir(), 'hybrid-mpm-soak-test-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Result {
  readonly passed: boolean;
  readonly checks: readonly { readonly name: string; readonly passed: boolean }[];
  readonly kinds: Readonly<Record<string, { readonly rounds: number; readonly failed: number }>>;
  readonly failures: readonly object[];
  readonly samples: readonly object[];
}

function soak(...flags: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    const options = { timeout: DEADLINE_MS, maxBuffer: 16 << 20 };
    execFile(process.execPath, [SOAK, ...flags], options, (error, stdout, stderr) => {
      const code = typeof error?.code === 'number' ? error.code : error === null ? 0 : -1;
      resolve({ code, stdout, stderr });
    });
  });
}

describe('the soak', () => {
  it('of all kinds of work at once passes, and everything comes back', async () => {
    const [json, html] = [join(folder, 'soak.json'), join(folder, 'soak.html')];
    // Without lengthy requests, whose workers stay for a minute.
    const { code, stdout, stderr } = await soak(
      ...['--minutes', '0.25', '--scale', '0.3', '--idle', '200', '--without', 'lengthy'],
      ...['--json', json, '--html', html],
    );
    expect(code, stdout + stderr).toBe(0);
    const result: Result = JSON.parse(readFileSync(json, 'utf8'));
    expect(result.failures).toEqual([]);
    expect(result.checks.filter(({ passed }) => !passed)).toEqual([]);
    expect(result.samples.length).toBeGreaterThan(3);
    for (const kind of ['light', 'idle', 'streams', 'websockets', 'malformed', 'fault: throw']) {
      expect(result.kinds[kind]?.rounds, kind).toBeGreaterThan(0);
    }
    const page = readFileSync(html, 'utf8');
    expect(page).toContain('<polyline');
    expect(page).not.toMatch(/(?:src|href)=/);
  }, 240_000);

  it('of faults answers each guilty request, and no other notices', async () => {
    const { code, stdout, stderr } = await soak(
      ...['--only', 'faults', '--count', '8', '--scale', '0.5'],
    );
    expect(code, stdout + stderr).toBe(0);
    expect(stdout).toMatch(/ok: faults answered 502 or 504 +\| +8 \| +8 \|/);
  }, 240_000);

  it.each([
    [['--only', 'nothing'], 'unknown only "nothing"'],
    [['--minutes=-1'], '--minutes must be from 0'],
    [['--without', 'light,dark'], 'unknown without "dark"'],
  ])('says what is wrong with %j', async (flags, message) => {
    const { code, stderr } = await soak(...flags);
    expect(code).toBe(1);
    expect(stderr).toContain(message);
    expect(stderr).toContain('--minutes N');
  });
});
