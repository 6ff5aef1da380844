/**
 * Places a light class in the native prototype chain.
 *
 * Role: makes `instanceof` true both ways.
 * Thread: any; runs once a class, at import.
 * May not: change the native class.
 */

/** A class as far as its place among others matters; it is never constructed through this. */
interface AnyClass {
  readonly prototype: object;
}

/**
 * Instances of `light` pass `instanceof native` by their prototype chain; native instances pass
 * `instanceof light` by its Symbol.hasInstance. A subclass of `light` keeps the ordinary rule.
 * @param name what the class is called from outside
 */
export function standInFor(light: AnyClass, native: AnyClass, name: string): void {
  if (Object.getPrototypeOf(light.prototype) !== native.prototype) {
    Object.setPrototypeOf(light.prototype, native.prototype);
    Object.setPrototypeOf(light, native);
  }
  Object.defineProperty(light, 'name', { value: name });
  Object.defineProperty(light, Symbol.hasInstance, {
    value(this: AnyClass, value: unknown): boolean {
      const base = this === light ? native.prototype : this.prototype;
      return Object.prototype.isPrototypeOf.call(base, value as object);
    },
  });
}
