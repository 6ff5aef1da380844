/**
 * The graph of states: whether an end can be reached from each.
 *
 * Role: storage and one search backwards; knows nothing of what a state is.
 * Thread: tests only.
 */

/** A list of int32 that grows. */
export class Numbers {
  values = new Int32Array(1024);
  length = 0;

  push(value: number): void {
    if (this.length === this.values.length) {
      const larger = new Int32Array(this.length * 2);
      larger.set(this.values);
      this.values = larger;
    }
    this.values[this.length++] = value;
  }

  at(index: number): number {
    return this.values[index] as number;
  }
}

/** A state from which no final state can be reached, -1 where there is none. */
export function stateWithoutEnd(
  states: number,
  { values: from, length: edges }: Numbers,
  { values: to }: Numbers,
  finals: Numbers,
): number {
  // Edges by their end: first[to] and then next[edge].
  const first = new Int32Array(states).fill(-1);
  const next = new Int32Array(edges);
  for (let edge = 0; edge < edges; edge++) {
    next[edge] = first[to[edge] as number] as number;
    first[to[edge] as number] = edge;
  }
  const reaches = new Uint8Array(states);
  const open: number[] = [];
  for (let final = 0; final < finals.length; final++) {
    open.push(finals.at(final));
    reaches[finals.at(final)] = 1;
  }
  for (let state = open.pop(); state !== undefined; state = open.pop()) {
    for (let edge = first[state] as number; edge >= 0; edge = next[edge] as number) {
      const source = from[edge] as number;
      if (reaches[source] === 1) continue;
      reaches[source] = 1;
      open.push(source);
    }
  }
  return reaches.indexOf(0);
}
