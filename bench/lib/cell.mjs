// One cell of the bench: one server, one workload, one run, from start to stop.
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { freePort, host, untilReady } from './loopback.mjs';
import { start, stop } from './processes.mjs';

/** The server could not be brought up; further cells of it would only wait in vain. */
export class StartError extends Error {}

export const lastLines = (text) => text.trim().split('\n').slice(-4).join(' | ').slice(-500);

export async function runCell(cell) {
  try {
    return await runPrepared(cell);
  } finally {
    await cell.workload.after?.();
  }
}

async function runPrepared({ workload, server, options, env, tempDir, say }) {
  const prepared = await workload.before?.({ say, tempDir });
  const settings = { ...workload.settings, ...prepared };
  const dir = mkdtempSync(join(tempDir, `${server.name}-`));
  const port = await freePort();
  const adminPort = server.hasAdmin ? await freePort() : undefined;
  const path = settings.path ?? server.path ?? '/';
  const base = `http://${host}:${port}`;
  const { file, args, cwd } = server.command({
    ...{ port, adminPort, dir, settings },
  });
  const running = start(file, args, { cwd: cwd ?? dir, env });
  try {
    try {
      await untilReady(running, base + path);
    } catch (error) {
      throw new StartError(
        `${server.name} did not start: ${error.message}; it said: ${lastLines(running.output()) || 'nothing'}`,
      );
    }
    let figures;
    try {
      figures = await workload.measure({
        ...{ url: base + path, base, port, path, adminPort, options },
        rootPid: running.pid,
      });
    } finally {
      if (running.ended !== undefined) {
        const { code, signal } = running.ended;
        say(
          `${server.name} ended by itself (${signal ?? `code ${code}`}): ${lastLines(running.output())}`,
        );
      }
    }
    if (running.ended !== undefined) throw new Error('the server ended while it was measured');
    return figures;
  } finally {
    const { killed } = await stop(running);
    if (killed > 0) say(`${server.name}: ${killed} processes had to be killed`);
    rmSync(dir, { recursive: true, force: true });
  }
}
