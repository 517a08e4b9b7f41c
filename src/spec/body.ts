import type { z } from "zod";
import { SpecError } from "../base/errors.ts";
import { check } from "./problems.ts";

/** A value from JSON against its schema. @throws SpecError with every problem, by path */
export function parseBody<T extends z.ZodType>(schema: T, value: unknown): z.output<T> {
  const result = check(schema, value);
  if ("value" in result) return result.value;
  throw new SpecError(result.problems.map(({ at: _at, onKey: _onKey, ...problem }) => problem));
}
