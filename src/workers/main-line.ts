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
  /** One int32, main's: how many answers it has put into the port, modulo 2 to the power of 32. */
  readonly bell: Int32Array;
}

/** To main. */
export interface Asked<Question> {
  /** Tells the questions of a thread apart. */
  readonly number: number;
  readonly question: Question;
}

/** From main. */
export interface Answered<Answer> {
  /** The question's. */
  readonly number: number;
  readonly answer: Answer;
}

const ANSWER_DEADLINE_MS = 20_000;

let asked = 0;

/**
 * The answer; undefined: there was none in time. What comes later is dropped when the next one asks.
 * @param deadlineMs how long it waits
 */
export function askMain<Question, Answer>(
  line: MainLine,
  question: Question,
  deadlineMs: number = ANSWER_DEADLINE_MS,
): Answer | undefined {
  const { port, bell } = line;
  const number = ++asked;
  const message: Asked<Question> = { number, question };
  port.postMessage(message);
  const deadline = performance.now() + deadlineMs;
  for (;;) {
    // Before the look into the port: an answer after it has changed the bell.
    const rings = Atomics.load(bell, 0);
    const answer = answerTo<Answer>(number, port);
    if (answer !== undefined) return answer.answer;
    const leftMs = deadline - performance.now();
    if (leftMs <= 0) return undefined;
    Atomics.wait(bell, 0, rings, leftMs);
  }
}

/** Takes what is in the port, up to the answer to this question; others were given up. */
function answerTo<Answer>(number: number, port: MessagePort): Answered<Answer> | undefined {
  for (;;) {
    const received = receiveMessageOnPort(port)?.message as Answered<Answer> | undefined;
    if (received === undefined || received.number === number) return received;
  }
}
