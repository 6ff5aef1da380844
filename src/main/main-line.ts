/**
 * Main's end of the lines by which workers ask and wait.
 *
 * Thread: main. May not: let a worker wait without an answer.
 */
import { MessageChannel } from 'node:worker_threads';
import type { Answered, Asked, MainLine } from '../workers/main-line.ts';

export interface OpenLine {
  /** For a new child; its port is to be transferred. */
  readonly line: MainLine;
  /** To be called at the child's end. */
  hangUp(): void;
}

/** @param answer never rejects */
export function openLine<Question, Answer>(
  answer: (question: Question) => Answer | Promise<Answer>,
): OpenLine {
  const { port1, port2 } = new MessageChannel();
  const bell = new Int32Array(new SharedArrayBuffer(4));
  port1.on('message', async ({ number, question }: Asked<Question>) => {
    const reply: Answered<Answer> = { number, answer: await answer(question) };
    port1.postMessage(reply);
    // Behind the message, so that whoever hears the bell finds it.
    Atomics.add(bell, 0, 1);
    Atomics.notify(bell, 0);
  });
  // A server that has ended must not wait for questions.
  port1.unref();
  return { line: { port: port2, bell }, hangUp: () => port1.close() };
}
