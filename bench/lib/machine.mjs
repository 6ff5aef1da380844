// What the figures were taken on.
import { execFileSync } from 'node:child_process';
import { availableParallelism, cpus, loadavg, release, totalmem } from 'node:os';

/** First line that a program prints about itself; undefined if there is no such program. */
export function versionLine(file, args, pattern = /.+/) {
  try {
    const text = execFileSync('/bin/sh', ['-c', '"$0" "$@" 2>&1 || true', file, ...args], {
      encoding: 'utf8',
      timeout: 10_000,
    });
    return pattern.exec(text)?.[0].trim();
  } catch {
    return undefined;
  }
}

export function describeMachine() {
  return {
    cores: availableParallelism(),
    cpu: cpus()[0]?.model ?? 'unknown',
    memoryMb: Math.round(totalmem() / 1024 / 1024),
    kernel: release(),
    node: process.versions.node,
    wrk: versionLine('wrk', ['-v'], /wrk \S+/)?.slice(4),
    loadAverage: loadavg()[0],
  };
}
