import { createHash } from "node:crypto";
import { basename } from "node:path/posix";
import { isFault, type Name, parseName } from "../../base/names.ts";

/** The text as a name, as near as can be: lower case, "-" for what a name cannot have. */
export function madeName(text: string): Name | undefined {
  const folded = text
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-|-$/g, "");
  const name = parseName(folded.length <= 40 ? folded : `${folded.slice(0, 33).replace(/-$/, "")}-${digest(text, 6)}`);
  return isFault(name) ? undefined : name;
}

/** A project without a name is called after its directory. */
export function directoryName(directory: string): Name | undefined {
  return madeName(basename(directory));
}

/** A name of at most `length` characters that no other has yet; a shortened one ends in a hash of the whole. */
export function uniqueName(text: string, { length, taken }: { length: number; taken: ReadonlySet<string> }): string {
  const folded = madeName(text) ?? "x";
  const whole = folded.length <= length ? folded : `${folded.slice(0, length - 7).replace(/-$/, "")}-${digest(text, 6)}`;
  for (let n = 1; ; n++) {
    const end = n === 1 ? "" : `-${n}`;
    const name = `${whole.slice(0, length - end.length).replace(/-$/, "")}${end}`;
    if (!taken.has(name)) return name;
  }
}

/** Hexadecimal digits of a text's SHA-256. */
export function digest(text: string, digits = 64): string {
  return createHash("sha256").update(text).digest("hex").slice(0, digits);
}

/** JSON with keys in order: the same value always gives the same text. */
export function canonical(value: unknown): string {
  return JSON.stringify(value, (_, inner: unknown) =>
    inner !== null && typeof inner === "object" && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).toSorted(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)))
      : inner,
  );
}
