/**
 * The state of production objects between two turns of a model.
 *
 * Role: takes the plain fields of some objects (numbers, flags, lists of numbers) into a JSON value, and
 * puts them back. What a field refers to besides is made once and stays.
 * Thread: tests only.
 */
export type Kept = Record<string, Record<string, unknown>>;

type Fields = Record<string, unknown>;
type NumberArray = Int32Array | Uint8Array;

export class KeptState {
  readonly #objects: Readonly<Record<string, Fields>>;

  constructor(objects: Readonly<Record<string, object>>) {
    this.#objects = objects as Readonly<Record<string, Fields>>;
  }

  save(): Kept {
    const kept: Kept = {};
    for (const [name, object] of Object.entries(this.#objects)) {
      const fields: Fields = {};
      for (const [key, value] of Object.entries(object)) {
        if (value === null || ['number', 'boolean', 'string'].includes(typeof value)) {
          fields[key] = value;
        } else if (isNumbers(value)) fields[key] = [...value];
      }
      kept[name] = fields;
    }
    return kept;
  }

  load(kept: Kept): void {
    for (const [name, fields] of Object.entries(kept)) {
      const object = this.#objects[name] as Fields;
      for (const [key, value] of Object.entries(fields)) {
        const present = object[key];
        if (present instanceof Int32Array || present instanceof Uint8Array) {
          present.set(value as number[]);
        } else if (Array.isArray(value) && Array.isArray(present)) {
          present.splice(0, present.length, ...value);
        } else object[key] = value;
      }
    }
  }
}

function isNumbers(value: unknown): value is number[] | NumberArray {
  if (value instanceof Int32Array || value instanceof Uint8Array) return true;
  return Array.isArray(value) && value.every((entry) => typeof entry === 'number');
}
