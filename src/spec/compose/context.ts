import { dirname, join, resolve } from "node:path/posix";
import type { Name } from "../../base/names.ts";
import type { Budget } from "./budget.ts";
import type { Faults } from "./faults.ts";
import type { Variables } from "./interpolate.ts";
import { type Mapping, type Place, placeOf, type Source, writtenPath } from "./tree.ts";

/** What building a project needs of its surroundings. */
export type Context = {
  project: Name;
  /** As the compose file is named in messages. */
  file: string;
  directory: string;
  variables: Variables;
  /** The text of a file by its absolute path, or undefined when it is not there. */
  read: (path: string) => string | undefined;
  faults: Faults;
  budget: Budget;
};

/** One definition of the file while it is built: where it stands, and what is said of it. */
export type Part = { tree: Mapping; path: readonly string[] };

export function partPlace(part: Part, at: readonly PropertyKey[], onKey = false): Place {
  return placeOf(part.tree, at, onKey);
}

export function partFault(
  context: Context,
  part: Part,
  fault: { at: readonly PropertyKey[]; onKey?: boolean; problem: string; hint?: string | undefined },
): void {
  const { at, onKey, problem, hint } = fault;
  context.faults.add(partPlace(part, at, onKey), { path: [...part.path, ...writtenPath(part.tree, at)], problem, hint });
}

/** A path of the host as an absolute one: relative to where the text stands, `~` being the home directory. */
export function hostPath(context: Pick<Context, "variables">, text: string, source: Source): string {
  const home = context.variables("HOME");
  const expanded = home !== undefined && /^~(\/|$)/.test(text) ? `${home}${text.slice(1)}` : text;
  return resolve(source.directory, expanded);
}

/** A file's name for messages: beside the compose file as the compose file is named, absolute elsewhere. */
export function shownPath({ file, directory }: Pick<Context, "file" | "directory">, path: string): string {
  return path.startsWith(`${directory}/`) ? join(dirname(file), path.slice(directory.length + 1)) : path;
}

/** The text of a file a value names; a file that is not there is a fault at the value. */
export function textOf(context: Context, part: Part, { at, path }: { at: readonly PropertyKey[]; path: string }): string | undefined {
  const absolute = hostPath(context, path, partPlace(part, at).source);
  const text = context.read(absolute);
  if (text === undefined) partFault(context, part, { at, problem: `there is no file ${shownPath(context, absolute)}` });
  else if (!context.budget.take(partPlace(part, at), { characters: text.length })) return undefined;
  return text;
}

/** The value without the keys that hold undefined. */
export function present<T extends object>(value: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(value).filter(([, inner]) => inner !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}
