// What a configuration resolves to: defaults on a given machine, normalised values, clear refusals.
import { describe, expect, it } from 'vitest';
import { openFilesFor } from '../../../src/main/config/capacity.ts';
import {
  connectionBufferBytesFor,
  type Directives,
  type Machine,
  resolveDirectives,
  written,
} from '../../../src/main/config/directives.ts';
import { DIRECTIVES, NAMES, REFUSED } from '../../../src/main/config/table.ts';
import { configErrorOf, LARGE, TWO_CORES } from './helpers.ts';

const resolved = (raw: Record<string, unknown>, machine: Machine = TWO_CORES): Directives =>
  resolveDirectives(raw, 'test', machine);
const refusal = async (raw: Record<string, unknown>, machine: Machine = TWO_CORES) =>
  (await configErrorOf(() => resolved(raw, machine))).message;

describe('defaults', () => {
  it('are these on two cores with 20,000 descriptors', () => {
    expect(resolved({})).toEqual({
      listen: [{ host: '::', port: 8080 }],
      listenBacklog: 511,
      reusePort: false,
      proxyProtocol: [],
      trustProxy: [],
      trustProxyHeader: 'x-forwarded',
      proxy: [],
      directPolling: true,
      maxConnections: 19_744,
      queueLimit: 19_744,
      queueTimeoutMs: 60_000,
      startServers: 2,
      minSpareThreads: 2,
      maxSpareThreads: 6,
      maxRequestWorkers: 16,
      longHandlerNice: 5,
      lengthyWorkers: 1,
      lengthyQueueLimit: 100,
      lengthyQueueTimeoutMs: 60_000,
      lengthyCancel: true,
      lengthyNice: 10,
      asyncRequestWorkerFactor: 2,
      maxConnectionsPerChild: 0,
      maxRequestsPerChild: 0,
      maxMemoryPerChildBytes: 0,
      maxHeapPerChildBytes: 0,
      requestDeadlineMs: 0,
      keepAlive: true,
      keepAliveTimeoutMs: 65_000,
      maxKeepAliveRequests: 0,
      timeoutMs: 60_000,
      requestReadTimeout: {
        header: { timeoutMs: 20_000, maxTimeoutMs: 40_000, minRateBytesPerSecond: 500 },
        body: { timeoutMs: 20_000, maxTimeoutMs: 0, minRateBytesPerSecond: 500 },
      },
      drainDelayMs: 0,
      gracefulShutdownTimeoutMs: 30_000,
      limitRequestLineBytes: 8190,
      limitRequestFieldSizeBytes: 8190,
      limitRequestFields: 100,
      limitRequestBodyBytes: 1_073_741_824,
      limitSpilledBodyBytes: 268_435_456,
      spillFolder: '/var/tmp',
      limitSpillFolderBytes: 4_294_967_296,
      connectionBufferBytes: 16_384,
      indexes: false,
      sendFileRoot: null,
      adminToken: null,
      extendedStatus: true,
      admin: { host: '127.0.0.1', port: 8081 },
      statusPath: null,
      statusAllow: ['loopback'],
      serverTokens: 'off',
      accessLog: null,
      logFormat: 'combined',
    } satisfies Directives);
  });

  it('grow with the machine up to a bound', () => {
    expect(resolved({}, LARGE)).toMatchObject({
      maxConnections: 20_000,
      startServers: 16,
      minSpareThreads: 8,
      maxSpareThreads: 24,
      maxRequestWorkers: 128,
    });
  });

  it.each([
    [{ ...TWO_CORES, cores: 1, softDescriptors: 1024 }, 768],
    [{ ...TWO_CORES, cores: 1, softDescriptors: 256 }, 192],
    [{ ...TWO_CORES, cores: 1, softDescriptors: 3 }, 3],
  ])('leave descriptors to the server itself: %j', (machine, connections) => {
    expect(resolved({}, machine).maxConnections).toBe(connections);
  });

  it('leave half of the memory to others', () => {
    const machine = { ...TWO_CORES, memoryBytes: 256 * 2 ** 20 };
    expect(resolved({}, machine).maxConnections).toBe(8192);
  });

  it.each([
    [20_000, 19_744, 32, 4],
    [20_000, 19_000, 32, 23],
    [1_048_576, 20_000, 256, 64],
    [Number.POSITIVE_INFINITY, 20_000, 1022, 64],
  ])('share %i descriptors beside %i connections among %i children: %i each', (...numbers) => {
    const [softDescriptors, maxConnections, children, share] = numbers;
    expect(
      openFilesFor({ ...TWO_CORES, cores: 1, softDescriptors }, maxConnections, children),
    ).toBe(share);
  });

  it.each([1, 2, 3, 4, 8, 17, 64, 512])('agree with each other on %i cores', (cores) => {
    const machine = { ...TWO_CORES, cores, softDescriptors: 4096 };
    const { startServers, minSpareThreads, maxSpareThreads, maxRequestWorkers } = resolved(
      {},
      machine,
    );
    expect(startServers).toBeGreaterThanOrEqual(minSpareThreads);
    expect(maxSpareThreads).toBeGreaterThanOrEqual(startServers);
    expect(maxRequestWorkers).toBeGreaterThan(maxSpareThreads);
  });

  it.each([
    [64, { startServers: 2, minSpareThreads: 2, maxRequestWorkers: 2 }],
    [256, { startServers: 4, minSpareThreads: 4, maxRequestWorkers: 4 }],
    [512, { startServers: 8, minSpareThreads: 4, maxRequestWorkers: 8 }],
    [1024, { startServers: 8, minSpareThreads: 4, maxRequestWorkers: 16 }],
    [2048, { startServers: 8, minSpareThreads: 4, maxRequestWorkers: 32 }],
    [65_536, { startServers: 8, minSpareThreads: 4, maxRequestWorkers: 32 }],
  ])('leave room for each worker in %i MiB, on eight cores', (mebibytes, expected) => {
    const machine = { ...TWO_CORES, cores: 8, memoryBytes: mebibytes * 2 ** 20 };
    expect(resolved({}, machine)).toMatchObject(expected);
  });

  it.each([
    [{ maxRequestWorkers: 1 }, { startServers: 1, minSpareThreads: 1 }],
    [{ startServers: 40 }, { maxRequestWorkers: 40 }],
    [{ minSpareThreads: 40 }, { maxSpareThreads: 40, maxRequestWorkers: 40 }],
    [{ maxSpareThreads: 1 }, { minSpareThreads: 1 }],
    [{ maxConnections: 10 }, { queueLimit: 10 }],
    [{ limitRequestLine: '1m', limitRequestFieldSize: 64 }, null],
    [{ limitRequestLine: '512k', limitRequestFieldSize: '512k' }, { maxConnections: 4096 }],
  ])('follow what was given, so that one directive suffices: %j', async (raw, expected) => {
    if (expected === null) expect(await refusal(raw)).toContain('limitRequestLine');
    else expect(resolved(raw)).toMatchObject(expected);
  });
});

describe('values', () => {
  it.each([
    ['keepAliveTimeout', 5, 'keepAliveTimeoutMs', 5000],
    ['accessLog', 'Off', 'accessLog', null],
    ['accessLog', false, 'accessLog', null],
    ['accessLog', 'STDOUT', 'accessLog', 'stdout'],
    ['accessLog', './off', 'accessLog', './off'],
    ['accessLog', '/var/log/A.log', 'accessLog', '/var/log/A.log'],
    ['logFormat', 'JSON', 'logFormat', 'json'],
    ['keepAliveTimeout', '5', 'keepAliveTimeoutMs', 5000],
    ['keepAliveTimeout', '500ms', 'keepAliveTimeoutMs', 500],
    ['keepAliveTimeout', 0.57, 'keepAliveTimeoutMs', 570],
    ['timeout', '2min', 'timeoutMs', 120_000],
    ['timeout', '24h', 'timeoutMs', 86_400_000],
    ['gracefulShutdownTimeout', 0, 'gracefulShutdownTimeoutMs', 0],
    ['limitRequestBody', '16k', 'limitRequestBodyBytes', 16_384],
    ['limitRequestBody', '2G', 'limitRequestBodyBytes', 2_147_483_648],
    ['limitRequestBody', '1 MB', 'limitRequestBodyBytes', 1_048_576],
    ['limitRequestBody', 0, 'limitRequestBodyBytes', 0],
    ['lengthyWorkers', '0', 'lengthyWorkers', 0],
    ['lengthyQueueTimeout', '5s', 'lengthyQueueTimeoutMs', 5_000],
    ['lengthyNice', 19, 'lengthyNice', 19],
    ['longHandlerNice', '0', 'longHandlerNice', 0],
    ['asyncRequestWorkerFactor', '1.5', 'asyncRequestWorkerFactor', 1.5],
    ['keepAlive', 'Off', 'keepAlive', false],
    ['keepAlive', 'no', 'keepAlive', false],
    ['reusePort', 'true', 'reusePort', true],
    ['reusePort', true, 'reusePort', true],
    ['serverTokens', 'Prod', 'serverTokens', 'prod'],
    ['serverTokens', false, 'serverTokens', 'off'],
    ['admin', 'off', 'admin', null],
    ['admin', false, 'admin', null],
    ['admin', 9000, 'admin', { host: '127.0.0.1', port: 9000 }],
    ['admin', '[::1]:9000', 'admin', { host: '::1', port: 9000 }],
    ['sendFileRoot', '/srv/files/', 'sendFileRoot', '/srv/files'],
    ['sendFileRoot', 'Off', 'sendFileRoot', null],
    ['adminToken', 'off', 'adminToken', null],
    ['adminToken', '@token.txt', 'adminToken', '@token.txt'],
    ['adminToken', '0123456789abcdef', 'adminToken', '0123456789abcdef'],
    ['sendFileRoot', false, 'sendFileRoot', null],
    ['statusPath', 'on', 'statusPath', '/server-status'],
    ['statusPath', '/a/b-c', 'statusPath', '/a/b-c'],
    ['statusPath', false, 'statusPath', null],
    ['statusAllow', '10.0.0.0/8, ::1', 'statusAllow', ['10.0.0.0/8', '::1']],
    ['statusAllow', 'off', 'statusAllow', []],
    ['trustProxy', 'Loopback, 10.0.0.0/8', 'trustProxy', ['loopback', '10.0.0.0/8']],
    ['trustProxy', ['private', '2001:DB8::/32'], 'trustProxy', ['private', '2001:db8::/32']],
    ['trustProxy', false, 'trustProxy', []],
    ['listen', 80, 'listen', [{ host: '::', port: 80 }]],
    ['listen', '*:80', 'listen', [{ host: '::', port: 80 }]],
    ['listen', 'localhost:0', 'listen', [{ host: 'localhost', port: 0 }]],
    ['listen', '127.0.0.1:80 HTTP', 'listen', [{ host: '127.0.0.1', port: 80 }]],
    [
      'listen',
      '80 143 imap,[::1]:25 SMTP-in',
      'listen',
      [
        { host: '::', port: 80 },
        { host: '::', port: 143, protocol: 'imap' },
        { host: '::1', port: 25, protocol: 'smtp-in' },
      ],
    ],
    [
      'listen',
      ['localhost:25 smtp', 8080],
      'listen',
      [
        { host: 'localhost', port: 25, protocol: 'smtp' },
        { host: '::', port: 8080 },
      ],
    ],
    [
      'listen',
      '127.0.0.1:80, [FE80::1]:81',
      'listen',
      [
        { host: '127.0.0.1', port: 80 },
        { host: 'fe80::1', port: 81 },
      ],
    ],
  ] as const)('%s %j becomes %s %j', (name, value, key, expected) => {
    expect(resolved({ [name]: value })[key]).toEqual(expected);
  });

  it.each([
    [
      'keepAliveTimeout',
      ['abc', '', '0', -1, 0.0001, '5 s s', '25h', null, true, [5], '1e3', Number.NaN],
    ],
    ['limitRequestBody', ['16q', '-1', 1.5, '1.5k', '2048g', Number.POSITIVE_INFINITY]],
    ['limitRequestLine', [63, '1m', 'all']],
    ['lengthyWorkers', [-1, 257, 1.5, '']],
    ['lengthyNice', [-1, 20]],
    ['longHandlerNice', [-1, 20]],
    ['asyncRequestWorkerFactor', [0, 0.09, 101, '1,5', '']],
    ['maxRequestWorkers', [0, 512, '0x10', '1e1', 1.5, '']],
    ['keepAlive', ['maybe', 1, '', null]],
    ['serverTokens', ['minimal', true, 3]],
    [
      'trustProxy',
      [
        '',
        'all',
        '10.0.0.0/33',
        '10.0.0/8',
        '::1/129',
        'fe80::1%eth0',
        '1.2.3.4/8/8',
        true,
        [1],
        [],
      ],
    ],
    ['trustProxyHeader', ['x-real-ip', true]],
    ['statusPath', ['server-status', '/', '', '/a?b', '/a b', '/\u00e4', 5]],
    ['statusAllow', ['everybody', '10.0.0.0/33', '']],
    ['adminToken', ['short', '', '@', 'with a blank in it', true, 1234567890123456]],
    ['sendFileRoot', ['files', './files', '', true, 5, '/a\0b']],
    ['admin', ['127.0.0.1', true, 65_536, ':80', '::1:80']],
    [
      'listen',
      [
        '',
        [],
        'smtp',
        'smtp 25',
        '25,smtp',
        '25 smtp imap',
        '25 s_mtp',
        Array.from({ length: 16 }, (_, number) => `${number} p${number}`),
        '127.0.0.1',
        '::1:80',
        '[::1]',
        '300.1.1.1:80',
        'a b:80',
        65_536,
        -1,
        '[fe80::1%eth0]:80',
        'http://x:80',
        { port: 1 },
        [null],
      ],
    ],
  ] as const)('%s refuses what it cannot mean, and says what it takes', async (name, values) => {
    for (const value of values) {
      const message = await refusal({ [name]: value });
      expect(message, `for ${String(value)}`).toContain(`${name} = `);
      expect(message).toContain('(test): must be ');
      expect(message.split('\n')).toHaveLength(1);
    }
  });

  it('of every directive survive being written out and read again', () => {
    const written1 = resolved({
      listen: ['127.0.0.1:1', '[::1]:2', '[::1]:3 smtp'],
      keepAliveTimeout: '90s',
      timeout: '61min',
      limitRequestBody: '1500m',
      asyncRequestWorkerFactor: 1.25,
      admin: 'off',
      trustProxy: ['loopback', '192.0.2.0/24'],
      sendFileRoot: '/srv/my files',
      adminToken: '@/etc/token',
      requestReadTimeout: 'header=0 body=500ms-1500ms,MinRate=10',
    });
    for (const directives of [written1, resolved({}), resolved({}, LARGE)]) {
      const again = Object.fromEntries(NAMES.map((name) => [name, written(directives, name)]));
      expect(resolved(again, LARGE)).toEqual(directives);
    }
  });
});

describe('requestReadTimeout', () => {
  const stages = (value: unknown) => resolved({ requestReadTimeout: value }).requestReadTimeout;
  const body = resolved({}).requestReadTimeout.body;

  it.each([
    ['header=10', 10_000, 10_000, 0],
    ['header=10,MinRate=100', 10_000, 0, 100],
    ['HEADER=10-20,minrate=100', 10_000, 20_000, 100],
    ['header=200ms-1s,MinRate=1', 200, 1000, 1],
    ['header=0', 0, 0, 0],
    ['header=off', 0, 0, 0],
    [{ header: 10 }, 10_000, 10_000, 0],
    [{ header: '10-20,MinRate=100' }, 10_000, 20_000, 100],
    [{ header: { timeout: 10, maxTimeout: '20s', minRate: 100 } }, 10_000, 20_000, 100],
    [{ header: false }, 0, 0, 0],
  ])('%j limits the head and leaves the body at its default', (value, timeoutMs, most, rate) => {
    expect(stages(value)).toEqual({
      header: { timeoutMs, maxTimeoutMs: most, minRateBytesPerSecond: rate },
      body,
    });
  });

  it('switches both stages off', () => {
    const off = { timeoutMs: 0, maxTimeoutMs: 0, minRateBytesPerSecond: 0 };
    expect(stages('off')).toEqual({ header: off, body: off });
    expect(stages(false)).toEqual({ header: off, body: off });
  });

  it.each([
    ['header=20-40', 'a maximum needs a MinRate'],
    ['header=40-20,MinRate=500', 'must be a time above 40'],
    ['header=20,MinRate=0', 'MinRate "0"'],
    ['header=20,MinRate=many', 'MinRate "many"'],
    ['header=x', '"x" must be a time'],
    ['header=0-20,MinRate=1', 'a time above 0'],
    ['handshake=5', 'must look like header=20-40'],
    ['header', 'must look like'],
    ['', 'must look like'],
    [20, 'must look like'],
    [{ head: 20 }, 'an object with header and body'],
    [{ header: { timeout: true } }, 'an object with header and body'],
    [{ header: [20] }, 'an object with header and body'],
    [{ header: { time: 20 } }, 'an object with header and body'],
  ])('refuses %j: %s', async (value, reason) => {
    const message = await refusal({ requestReadTimeout: value });
    expect(message).toContain('requestReadTimeout = ');
    expect(message).toContain(reason);
  });
});

describe('rules between directives', () => {
  it.each([
    [
      { startServers: 5, maxRequestWorkers: 4 },
      'startServers (5) must be at most maxRequestWorkers',
    ],
    [{ minSpareThreads: 5, maxSpareThreads: 4 }, 'must be at most maxSpareThreads (4)'],
    [{ minSpareThreads: 5, maxRequestWorkers: 4 }, 'must be at most maxRequestWorkers (4)'],
    [{ queueLimit: 11, maxConnections: 10 }, 'queueLimit (11) must be at most maxConnections (10)'],
    [{ queueLimit: 19_745 }, 'must be at most maxConnections (19744)'],
    [{ maxConnections: 19_745 }, 'raise it (ulimit -n, LimitNOFILE) or lower maxConnections'],
    [{ limitRequestLine: '600k', limitRequestFieldSize: '600k' }, 'at most 1m together'],
    [
      { limitRequestLine: '512k', limitRequestFieldSize: '512k', maxConnections: 4097 },
      'at most 4096 fit',
    ],
    [{ listen: ['80', '[::]:80'] }, '[::]:80 is taken'],
    [{ listen: ['0.0.0.0:80', '127.0.0.1:80'] }, '127.0.0.1:80 is taken'],
    [{ listen: 8081 }, 'need different ports'],
    [{ admin: '127.0.0.1:8080' }, 'need different ports'],
  ])('%j is refused: %s', async (raw, reason) => {
    const message = await refusal(raw);
    expect(message).toContain(reason);
    expect(message).toContain('(test)');
    expect(message.split('\n')).toHaveLength(1);
  });

  it('hold at their bounds', () => {
    const accepted = resolved({
      startServers: 4,
      minSpareThreads: 4,
      maxSpareThreads: 4,
      maxRequestWorkers: 4,
      maxConnections: 4096,
      queueLimit: 4096,
      limitRequestLine: '512k',
      limitRequestFieldSize: '512k',
      listen: ['127.0.0.1:80', '127.0.0.2:80', '[::1]:80', '*:0', '*:0'],
    });
    expect(accepted.connectionBufferBytes).toBe(2 ** 20);
  });

  it.each([
    [64, 64, 4096],
    [2048, 2048, 4096],
    [2048, 2049, 8192],
    [8190, 8190, 16_384],
    [2 ** 19, 2 ** 19, 2 ** 20],
  ])('a connection buffer holds a line of %i and a field of %i bytes: %i', (line, field, bytes) => {
    expect(connectionBufferBytesFor(line, field)).toBe(bytes);
  });
});

describe('names', () => {
  it('that do not exist are refused with the nearest that does', async () => {
    expect(await refusal({ keepaliveTimeout: 5 })).toBe(
      'keepaliveTimeout (test): unknown directive, did you mean keepAliveTimeout?',
    );
    expect(await refusal({ MaxRequestWorker: 5 })).toContain('did you mean maxRequestWorkers?');
    expect(await refusal({ entirelyDifferent: 5 })).toBe(
      'entirelyDifferent (test): unknown directive',
    );
  });

  it.each([
    'constructor',
    '__proto__',
    'toString',
    '',
  ])('such as %j are no way in', async (name) => {
    const raw = JSON.parse(`{${JSON.stringify(name)}: 1}`) as Record<string, unknown>;
    expect(await refusal(raw)).toContain('unknown directive');
  });

  it.each([
    ['lengthy', 'export const lengthy'],
    ['maxLengthyWorkers', 'lengthyWorkers'],
    ['serverLimit', 'maxRequestWorkers'],
  ])('that are said another way are refused with that one: %s', async (name, instead) => {
    expect(await refusal({ [name]: 'on' })).toContain(instead);
  });

  it('are either directives or refused, never both', () => {
    expect(NAMES.filter((name) => Object.hasOwn(REFUSED, name))).toEqual([]);
    expect(NAMES.length).toBeGreaterThan(20);
  });

  it('each have a text for every listing', () => {
    for (const name of NAMES) {
      const { summary, meaning, change, source } = DIRECTIVES[name];
      expect(summary, name).toMatch(/[^.]$/);
      expect(meaning, name).toMatch(/[.]$/);
      expect(change, name).toMatch(/[.]$/);
      expect(source, name).not.toBe('');
    }
  });
});

describe('several mistakes', () => {
  it('are all reported, a line each, with their code', async () => {
    const error = await configErrorOf(() =>
      resolved({
        timeout: 'x',
        keepAlve: 'on',
        lengthy: '/s',
        startServers: 3,
        maxRequestWorkers: 2,
      }),
    );
    expect(error.code).toBe('ERR_MPM_DIRECTIVE');
    expect(error.problems.map(({ directive }) => directive)).toEqual([
      'timeout',
      'keepAlve',
      'lengthy',
      'startServers',
    ]);
    expect(error.lines).toHaveLength(4);
    for (const line of error.lines) expect(line).toMatch(/^ERR_MPM_DIRECTIVE: .*\(test\): \S/);
  });

  it('do not bring up rules over a value that is wrong in itself', async () => {
    expect(await refusal({ maxRequestWorkers: 'many', startServers: 500 })).not.toContain(
      'startServers',
    );
  });
});
