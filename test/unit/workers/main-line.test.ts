/** A worker asks main and waits: each answer belongs to its question, also where one came too late. */
import { once } from 'node:events';
import { MessageChannel, Worker } from 'node:worker_threads';
import { afterEach, describe, expect, it } from 'vitest';
import { openLine } from '../../../src/main/main-line.ts';
import { askMain, type MainLine } from '../../../src/workers/main-line.ts';

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

/**
 * A line to a thread that plays main, since who asks blocks its own: it answers nothing before question
 * `from`, then the ones before it in their order, and `pauseMs` later that one.
 */
async function tardy(from: number, pauseMs: number): Promise<MainLine> {
  const { port1, port2 } = new MessageChannel();
  const bell = new Int32Array(new SharedArrayBuffer(4));
  const main = `
    const { parentPort, workerData: { port, bell, from, pauseMs } } = require('node:worker_threads');
    const held = [];
    const answer = ({ number, question }) => {
      port.postMessage({ number, answer: 'answer to ' + question });
      Atomics.add(bell, 0, 1);
      Atomics.notify(bell, 0);
    };
    port.on('message', (asked) => {
      held.push(asked);
      if (held.length < from) return;
      const last = held.pop();
      for (const late of held.splice(0)) answer(late);
      setTimeout(() => answer(last), pauseMs);
    });
    parentPort.postMessage('ready');`;
  const worker = new Worker(main, {
    eval: true,
    workerData: { port: port1, bell, from, pauseMs },
    transferList: [port1],
  });
  closers.push(() => worker.terminate());
  await once(worker, 'message');
  return { port: port2, bell };
}

describe('a question to main', () => {
  it('gets its answer', async () => {
    const line = await tardy(1, 0);
    expect(askMain(line, 'one', 10_000)).toBe('answer to one');
  });

  it('is given up after its deadline', async () => {
    const line = await tardy(2, 0);
    const began = performance.now();
    expect(askMain(line, 'one', 30)).toBeUndefined();
    expect(performance.now() - began).toBeGreaterThanOrEqual(30);
  });

  it.each([0, 50])('does not get the late answers of others (pause %i ms)', async (pauseMs) => {
    const line = await tardy(3, pauseMs);
    expect(askMain(line, 'one', 1)).toBeUndefined();
    expect(askMain(line, 'two', 1)).toBeUndefined();
    expect(askMain(line, 'three', 10_000)).toBe('answer to three');
  });

  it('finds a line on which late answers lie already', async () => {
    const line = await tardy(1, 50);
    expect(askMain(line, 'one', 1)).toBeUndefined();
    await expect.poll(() => Atomics.load(line.bell, 0), { timeout: 10_000 }).toBe(1);
    expect(askMain(line, 'two', 10_000)).toBe('answer to two');
  });
});

describe("main's end of the line", () => {
  it('answers each with its number, in the order in which the answers are known', async () => {
    const waiting = new Map<string, (answer: string) => void>();
    const open = openLine<string, string>(
      (question) => new Promise((resolve) => waiting.set(question, resolve)),
    );
    closers.push(open.hangUp);
    const { port, bell } = open.line;
    closers.push(() => port.close());
    const heard: unknown[] = [];
    port.on('message', (answered) => heard.push({ ...answered, rung: Atomics.load(bell, 0) }));
    port.postMessage({ number: 7, question: 'slow' });
    port.postMessage({ number: 8, question: 'quick' });
    await expect.poll(() => waiting.size, { timeout: 10_000 }).toBe(2);
    waiting.get('quick')?.('b');
    await expect.poll(() => heard.length, { timeout: 10_000 }).toBe(1);
    waiting.get('slow')?.('a');
    await expect.poll(() => heard.length, { timeout: 10_000 }).toBe(2);
    expect(heard).toEqual([
      { number: 8, answer: 'b', rung: 1 },
      { number: 7, answer: 'a', rung: 2 },
    ]);
  });
});
