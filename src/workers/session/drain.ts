/**
 * The moment at which nothing of a session waits for its client any more, as a promise.
 *
 * Thread: a worker.
 */
export interface Drain {
  readonly promise: Promise<void>;
  resolve(): void;
  reject(error: Error): void;
}

export function drain(): Drain {
  let resolve: () => void = () => {};
  let reject: (error: Error) => void = () => {};
  const promise = new Promise<void>((done, failed) => {
    resolve = done;
    reject = failed;
  });
  // Whoever does not wait for it has not asked to be told; an unhandled rejection would end the worker.
  promise.catch(() => {});
  return { promise, resolve, reject };
}
