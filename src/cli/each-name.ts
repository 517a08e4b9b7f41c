import type { VerbContext } from "./context.ts";
import { inWordsOf } from "./request-words.ts";
import { joinErrors, NexusError } from "../base/errors.ts";

/** Does the same to the named object and every further one, goes on after a failure, and prints what was done. @throws the failures, together */
export async function eachName<Item>(c: VerbContext, act: (name: string) => Promise<Item[]>): Promise<void> {
  const names = [c.arg("NAME"), c.arg("REF"), c.arg("ID"), ...c.rest].filter((name) => name !== "");
  const done: Item[] = [];
  const errors: unknown[] = [];
  for (const name of names) {
    try {
      done.push(...(await act(name)));
    } catch (error) {
      errors.push(c.out.json ? error : inWordsOf(c.command, error));
    }
  }
  if (done.length > 0 && (errors.length === 0 || !c.out.json)) c.out.result(done, () => done.map((item) => `${wordFor(item)}\n`).join(""));
  if (errors.length > 0) throw together(errors);
}

function wordFor(item: unknown): string {
  return typeof item === "object" && item !== null && "name" in item ? String(item.name) : String(item);
}

/** One error that says all; its code is the first one's, which also decides the exit code. */
export function together(errors: readonly unknown[]): unknown {
  const first = errors[0];
  if (errors.length === 1 || !(first instanceof NexusError)) return joinErrors(errors, "several failed");
  const texts = new Set(errors.map((error) => (error instanceof Error ? error.message : String(error))));
  return new NexusError(first.code, [...texts].join("\n"), { hint: first.hint, details: first.details });
}
