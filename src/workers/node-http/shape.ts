/**
 * Constructors of node:http's messages with a prototype of one's choice.
 *
 * Role: up to Node 22, objects share hidden classes only where they were made by a constructor that has
 * their prototype; after `Object.setPrototypeOf` each property that is added makes another one, and
 * nothing that reads such objects is ever optimised. Express sets the prototypes of `req` and `res`
 * first thing and then adds a dozen properties. Made with those prototypes they need no change.
 * Thread: a worker.
 */

/** Makes the object that a subclass then puts its private fields on. */
export type Shape<Parameter> = new (parameter: Parameter) => object;

/**
 * A constructor that runs `base`, which has to be callable as node:http's are.
 * @param prototype of what it makes
 */
export function shapeOf<Parameter>(base: Shape<Parameter>, prototype: object): Shape<Parameter> {
  const initialise = base as unknown as (this: object, parameter: Parameter) => void;
  function Made(this: object, parameter: Parameter): void {
    initialise.call(this, parameter);
  }
  Made.prototype = prototype;
  // V8 counts the properties of all constructors in this line to make room for them in the object.
  return Object.setPrototypeOf(Made, base);
}

/**
 * `base` as what a class can extend that takes a shape as its first parameter: what the shape makes is
 * the `this` of the class.
 */
export function shaped<Parameter, Instance>(
  base: new (parameter: Parameter) => Instance,
): new (
  shape: Shape<Parameter>,
  parameter: Parameter,
) => Instance {
  function Shaped(shape: Shape<Parameter>, parameter: Parameter): object {
    return new shape(parameter);
  }
  Shaped.prototype = base.prototype;
  return Object.setPrototypeOf(Shaped, base);
}
