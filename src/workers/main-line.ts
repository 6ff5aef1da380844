/**
 * A line by which a worker asks main something and waits for the answer.
 *
 * Role: one question at a time, answered before the call returns, for what an application expects to be
 * there at once.
 * Thread: a worker, which blocks meanwhile; main never waits for a worker.
 */
import { type MessagePort, receiveMessageOnPort } from 'node:worker_threads';

/** What a worker is given for its questions. */
export interface MainLine {
  readonly port: MessagePort;
  /** One int32, 1 once the answer is in the port. */
  readonly bell: Int32Array;
}

const ANSWER_DEADLINE_MS = 20_000;

/** The answer; undefined: there was none within 20 s. */
export function askMain<Question, Answer>(line: MainLine, question: Question): Answer | undefined {
  const { port, bell } = line;
  // An answer that came too late belongs to another question.
  while (receiveMessageOnPort(port) !== undefined);
  Atomics.store(bell, 0, 0);
  port.postMessage(question);
  Atomics.wait(bell, 0, 0, ANSWER_DEADLINE_MS);
  return receiveMessageOnPort(port)?.message as Answer | undefined;
}
