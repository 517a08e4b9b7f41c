/** Ends every switch over a union: a new member that is not handled fails to compile, and throws should it ever run. */
export function unreachable(value: never): never {
  throw new TypeError(`unhandled case: ${JSON.stringify(value)}`);
}
