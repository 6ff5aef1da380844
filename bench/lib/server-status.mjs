// Reads the machine-readable admin page of hybrid-mpm, and samples it.
import { fetchText, host } from './loopback.mjs';
import { mean } from './stats.mjs';

/** The page's "Key: value" lines as an object; numbers as numbers. */
export async function readServerStatus(adminPort, timeoutMs) {
  const url = `http://${host}:${adminPort}/server-status?auto`;
  const { status, body } = await fetchText(url, timeoutMs);
  if (status !== 200) throw new Error(`/server-status?auto answered ${status}`);
  const values = {};
  for (const line of body.split('\n')) {
    const colon = line.indexOf(':');
    if (colon < 1) continue;
    const text = line.slice(colon + 1).trim();
    values[line.slice(0, colon).trim()] =
      text !== '' && Number.isFinite(Number(text)) ? Number(text) : text;
  }
  if (typeof values.BusyWorkers !== 'number') {
    throw new Error('/server-status?auto has no BusyWorkers');
  }
  return values;
}

/** BusyWorkers and IdleWorkers as seen every `everyMs` for a time. */
export async function sampleWorkers(adminPort, durationMs, everyMs = 50) {
  const busy = [];
  const idle = [];
  const end = Date.now() + durationMs;
  while (Date.now() < end) {
    const values = await readServerStatus(adminPort);
    busy.push(values.BusyWorkers);
    if (typeof values.IdleWorkers === 'number') idle.push(values.IdleWorkers);
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
  return {
    samples: busy.length,
    busyMean: mean(busy),
    busyMax: Math.max(...busy),
    idleMean: mean(idle),
  };
}
