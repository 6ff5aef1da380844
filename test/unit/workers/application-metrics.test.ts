// When a worker publishes its application's metrics, and that an idle one does not.
import { BroadcastChannel } from 'node:worker_threads';
import { Counter, Gauge, register } from 'prom-client';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Published } from '../../../src/scoreboard/metrics/application.ts';
import { ApplicationPublisher } from '../../../src/workers/application-metrics.ts';

const DEADLINE_MS = 5_000;

describe('ApplicationPublisher', () => {
  const received: Published[] = [];
  const said: string[] = [];
  let arrived: () => void = () => {};
  let progress = 0;
  let channel: BroadcastChannel;
  let publisher: ApplicationPublisher;
  const count = new Counter({ name: 'published_total', help: 'h' });

  const make = (entry: string) =>
    new ApplicationPublisher({
      entry,
      channel: channel.name,
      child: 3,
      life: 7,
      progress: () => progress,
      say: (line) => said.push(line),
    });
  /** Real time, unlike the publisher's. */
  const messages = async (wanted: number) => {
    const late = Date.now() + DEADLINE_MS;
    while (received.length < wanted && Date.now() < late) {
      await Promise.race([
        new Promise<void>((resolve) => {
          arrived = resolve;
        }),
        new Promise((resolve) => setImmediate(resolve)),
      ]);
    }
    return received.length;
  };
  const value = (message: Published | undefined) =>
    message?.metrics.find(({ name }) => name === 'published_total')?.values[0]?.value;

  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    channel = new BroadcastChannel(`application-metrics-test-${Math.random()}`);
    channel.onmessage = (event) => {
      received.push((event as { data: Published }).data);
      arrived();
    };
    progress = 0;
    publisher = make(import.meta.url);
  });
  afterEach(() => {
    channel.close();
    vi.useRealTimers();
    received.length = 0;
    said.length = 0;
    count.reset();
  });

  it('publishes soon after activity, then seldom, and rests when nothing moves', async () => {
    publisher.active();
    publisher.active();
    expect(vi.getTimerCount()).toBe(1);
    count.inc();
    await vi.advanceTimersByTimeAsync(300);
    expect(await messages(1)).toBe(1);
    expect(received[0]).toMatchObject({ child: 3, life: 7 });
    expect(value(received[0])).toBe(1);
    progress++;
    count.inc();
    await vi.advanceTimersByTimeAsync(4_000);
    expect(received).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(1_500);
    expect(await messages(2)).toBe(2);
    expect(value(received[1])).toBe(2);
    // One look more, since a turn may have followed; it finds none.
    await vi.advanceTimersByTimeAsync(60_000);
    expect(vi.getTimerCount()).toBe(0);
    const before = await messages(3);
    publisher.active();
    expect(vi.getTimerCount()).toBe(1);
    await vi.advanceTimersByTimeAsync(300_000);
    expect(await messages(before + 1)).toBe(before + 1);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('publishes once more at the end of its life, and never after', async () => {
    publisher.active();
    await publisher.last();
    expect(await messages(1)).toBe(1);
    publisher.active();
    expect(vi.getTimerCount()).toBeLessThanOrEqual(1);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(received).toHaveLength(1);
  });

  it('does not wait for a collect function that never ends', async () => {
    new Gauge({ name: 'stuck', help: 'h', collect: () => new Promise(() => {}) });
    try {
      const ended = publisher.last();
      await vi.advanceTimersByTimeAsync(1_000);
      await ended;
      expect(received).toEqual([]);
    } finally {
      register.removeSingleMetric('stuck');
    }
  });

  it('says once that metrics cannot be read', async () => {
    new Gauge({
      name: 'broken',
      help: 'h',
      collect: () => {
        throw new Error('no database');
      },
    });
    try {
      await publisher.last();
      await publisher.last();
      expect(said).toEqual(["the application's metrics cannot be read: no database"]);
    } finally {
      register.removeSingleMetric('broken');
    }
  });

  it('refuses what would make every scrape slow', async () => {
    const many = new Gauge({ name: 'many', help: 'h', labelNames: ['id'] });
    for (let id = 0; id <= 10_000; id++) many.set({ id }, 1);
    try {
      await publisher.last();
      expect(said).toHaveLength(1);
      expect(said[0]).toMatch(/has 1000\d samples of metrics, more than 10000 are not shown/);
    } finally {
      register.removeSingleMetric('many');
    }
  });

  it('does nothing where the application has no prom-client', async () => {
    const none = make('/nowhere/app.mjs');
    none.active();
    expect(vi.getTimerCount()).toBe(0);
    await none.last();
    expect(said).toEqual([]);
  });
});
