/** What must not be: thrown where the simulation sees it, and reported with its seed. */
export class Violation extends Error {
  override readonly name = 'Violation';
  /** Of this run: it may be thrown through production code, which takes it for a handler's error. */
  static first: Violation | null = null;

  constructor(message: string) {
    super(message);
    Violation.first ??= this;
  }
}

/** Thrown through the frames of a thread that ends between two operations; nobody may catch it. */
export class ThreadDeath extends Error {
  override readonly name = 'ThreadDeath';
}

export function ensure(holds: boolean, what: () => string): asserts holds {
  if (!holds) throw new Violation(what());
}
