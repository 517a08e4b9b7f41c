import type { z } from "zod";
import type { SpecProblem } from "../base/errors.ts";
import { knownKeys } from "./keys.ts";
import { nearest } from "./nearest.ts";

/** One fault and where it is: `at` is the path of the value, or of the key itself when `onKey`. */
export type FoundProblem = SpecProblem & { at: readonly PropertyKey[]; onKey: boolean };

/** The value as the schema gives it, or everything that is wrong with it, in the order of the schema. */
export function check<T extends z.ZodType>(schema: T, value: unknown): { value: z.output<T> } | { problems: FoundProblem[] } {
  const result = schema.safeParse(value, { reportInput: true });
  if (result.success) return { value: result.data };
  return { problems: result.error.issues.flatMap((issue) => explain(schema, issue, [])) };
}

/** `networks[0].subnets[1].prefix` */
export function pathText(path: readonly PropertyKey[]): string {
  let text = "";
  for (const step of path) text += typeof step === "number" ? `[${step}]` : text === "" ? String(step) : `.${String(step)}`;
  return text;
}

type Issue = z.core.$ZodIssue;

function explain(schema: z.ZodType, issue: Issue, above: readonly PropertyKey[]): FoundProblem[] {
  const at = [...above, ...issue.path];
  const one = (problem: string, hint?: string): FoundProblem[] => [
    { path: pathText(at), problem, ...(hint === undefined ? {} : { hint }), at, onKey: false },
  ];
  switch (issue.code) {
    case "unrecognized_keys":
      return issue.keys.map((key) => unknownKey(schema, at, key));
    case "invalid_union":
      return explainUnion(schema, issue, at);
    case "invalid_type":
      return issue.input === undefined
        ? one(`is missing; it must be ${article(issue.expected)}`)
        : one(`must be ${article(issue.expected)}, not ${describe(issue.input)}`);
    case "invalid_value": {
      const meant = typeof issue.input === "string" ? nearest(issue.input, issue.values.map(String)) : undefined;
      return one(
        `must be ${choice(issue.values)}, not ${describe(issue.input)}`,
        meant === undefined ? undefined : `did you mean ${meant}?`,
      );
    }
    case "too_small":
      return one(isOwn(issue) ? issue.message : `must ${bound(issue.origin, "at least", Number(issue.minimum))}`);
    case "too_big":
      return one(isOwn(issue) ? issue.message : `must ${bound(issue.origin, "at most", Number(issue.maximum))}`);
    case "invalid_key":
      return issue.issues.map((inner) => ({ path: pathText(at), problem: inner.message, at, onKey: true }));
    default:
      return one(issue.message);
  }
}

function unknownKey(schema: z.ZodType, parent: readonly PropertyKey[], key: string): FoundProblem {
  const known = knownKeys(schema, parent);
  const meant = nearest(key, known);
  const hint = meant !== undefined ? `did you mean ${meant}?` : known.length === 0 ? undefined : `known here: ${known.join(", ")}`;
  const at = [...parent, key];
  return { path: pathText(at), problem: "unknown key", ...(hint === undefined ? {} : { hint }), at, onKey: true };
}

/** The complaint of the one branch that the value was meant for; when it fits none, what would have fitted. */
function explainUnion(schema: z.ZodType, issue: Extract<Issue, { code: "invalid_union" }>, at: readonly PropertyKey[]): FoundProblem[] {
  const meant = issue.errors.find(
    (branch) =>
      branch.length > 0 &&
      !branch.some(
        (inner) => inner.path.length === 0 && (inner.code === "invalid_type" || inner.code === "invalid_value" || isTemplate(inner)),
      ),
  );
  if (meant !== undefined) return meant.flatMap((inner) => explain(schema, inner, at));
  const values = issue.errors.flatMap((branch) =>
    branch.flatMap((inner) => (inner.code === "invalid_value" ? inner.values.map(String) : [])),
  );
  const near = typeof issue.input === "string" ? nearest(issue.input, values) : undefined;
  const wanted = issue.errors.flatMap((branch) =>
    branch.map((inner) =>
      inner.code === "invalid_value" ? choice(inner.values) : inner.code === "invalid_type" ? article(inner.expected) : inner.message,
    ),
  );
  const problem = `must be ${[...new Set(wanted)].join(" or ")}, not ${describe(issue.input)}`;
  return [{ path: pathText(at), problem, ...(near === undefined ? {} : { hint: `did you mean ${near}?` }), at, onKey: false }];
}

/** A word with a part that varies: one that is none of them was not meant for it. */
function isTemplate(issue: Issue): boolean {
  return issue.code === "invalid_format" && issue.format === "template_literal";
}

/** A schema's own words, not zod's. */
function isOwn(issue: Issue): boolean {
  return !issue.message.startsWith("Too ");
}

function bound(origin: string, side: string, limit: number): string {
  if (origin === "string") return `have ${side} ${limit} ${limit === 1 ? "character" : "characters"}`;
  if (origin === "array" || origin === "set") return `have ${side} ${limit} ${limit === 1 ? "entry" : "entries"}`;
  return `be ${side} ${limit}`;
}

function choice(values: readonly unknown[]): string {
  return values
    .map((value) => JSON.stringify(value))
    .join(", ")
    .replace(/, ([^,]*)$/, " or $1");
}

function article(type: string): string {
  const word =
    type === "record" || type === "object"
      ? "mapping"
      : type === "array"
        ? "list"
        : type === "int"
          ? "whole number"
          : type === "boolean"
            ? "true or false"
            : type;
  return word === "true or false" ? word : `a ${word}`;
}

function describe(value: unknown): string {
  if (value === null) return "nothing";
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object") return "a mapping";
  const text = typeof value === "string" ? JSON.stringify(value) : String(value);
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}
