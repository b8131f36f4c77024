/** A callback that is a method of an object, as PHP writes it: `[object, 'method']`. */

/** An object and the name of its method; `Call` is what the method must be. */
export type MethodOf<Call, Method extends string> = readonly [{ readonly [Name in Method]: Call }, Method];

/** The method of that object as a function, of the class too; anything else as it is: whoever calls checks what it is. */
export function asFunction(callback: unknown): unknown {
  if (!Array.isArray(callback) || callback.length !== 2) return callback;
  const [owner, name] = callback as [unknown, unknown];
  if ((typeof owner !== 'object' && typeof owner !== 'function') || owner === null) return callback;
  const method: unknown = typeof name === 'string' ? (owner as Record<string, unknown>)[name] : undefined;
  return typeof method === 'function' ? method.bind(owner) : callback;
}
