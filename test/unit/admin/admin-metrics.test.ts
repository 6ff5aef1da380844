// What /metrics answers to the headers a client may send.
import { gunzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { acceptsGzip, metricsReply } from '../../../src/main/admin/metrics-reply.ts';
import { createMetrics } from '../../../src/scoreboard/metrics.ts';
import { Scoreboard } from '../../../src/scoreboard/scoreboard.ts';

const board = Scoreboard.create({ connectionSlots: 8, childSlots: 2, bufferBytes: 4096 });
const metrics = createMetrics(board, {
  version: '0.1.0',
  startServers: 1,
  maxRequestWorkers: 2,
  queueLimit: 8,
  maxConnectionsPerChild: 0,
});
const ask = (query = '', headers = {}) =>
  metricsReply(metrics, new URLSearchParams(query), headers, () => ({
    serverName: 'web',
    version: '0.1.0',
    nodeVersion: '20.20.2',
    platform: 'Linux',
    builtAt: new Date(0),
    now: new Date(0),
    uptimeMs: 1_000,
    loadAverages: [0, 0, 0],
    cpuUserSeconds: 1,
    cpuSystemSeconds: 1,
  }));

describe('/metrics', () => {
  it('is plain text unless more is asked for', async () => {
    const { status, type, body, headers } = await ask();
    expect(status).toBe(200);
    expect(type).toBe('text/plain; version=0.0.4; charset=utf-8');
    expect(body).toContain('\nmpm_connections_max 8\n');
    expect(headers).toEqual({ Vary: 'Accept, Accept-Encoding' });
  });

  it('is compressed for who takes it', async () => {
    const { body, headers } = await ask('', { 'accept-encoding': 'gzip' });
    expect(headers?.['Content-Encoding']).toBe('gzip');
    const text = gunzipSync(body as Buffer).toString();
    expect(text).toContain('\nmpm_connections_max 8\n');
    expect(body.length).toBeLessThan(text.length / 3);
  });

  it('is OpenMetrics for who asks for it', async () => {
    const { type, body } = await ask('', { accept: 'application/openmetrics-text;version=1.0.0' });
    expect(type).toBe('application/openmetrics-text; version=1.0.0; charset=utf-8');
    expect(String(body).endsWith('# EOF\n')).toBe(true);
  });

  it('has the names of apache_exporter with ?compat=apache, and refuses other values', async () => {
    expect((await ask('compat=apache')).body).toContain('\napache_up 1\n');
    const { status, body } = await ask('compat=nginx');
    expect(status).toBe(400);
    expect(body).toContain("'apache'");
  });
});

describe('Accept-Encoding', () => {
  it.each([
    [undefined, false],
    ['', false],
    ['gzip', true],
    ['deflate, GZIP;q=0.5', true],
    ['gzip;q=0', false],
    ['gzip;q=0.000, *', false],
    ['*', true],
    ['identity', false],
    ['br', false],
  ])('%s: gzip %s', (header, expected) => {
    expect(acceptsGzip(header)).toBe(expected);
  });
});
