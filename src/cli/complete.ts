import { type Command, type Flag, globalFlags, type NameSource } from "./command.ts";
import { commands } from "./commands.ts";

/** What may stand where the last word stands: words known here, and a source of names to ask for. */
export type Candidates = { prefix: string; words: string[]; source: NameSource | undefined };

/** Reads an unfinished command line; its last word, possibly empty, is the one to complete. */
export function candidatesFor(words: readonly string[]): Candidates {
  const prefix = words.at(-1) ?? "";
  const before = words.slice(0, -1);
  const command = longestCommand(before);
  const depth = command === undefined ? 0 : command.path.split(" ").length;
  const plain = before.filter((word) => !word.startsWith("-"));
  const next = nextWords(plain.join(" "));
  const isValue = takesNext(before.at(-1), [...(command?.flags ?? []), ...globalFlags]);
  if (command === undefined || (next.length > 0 && plain.length === depth && !isValue))
    return { prefix, words: prefix.startsWith("-") ? flagWords([...(command?.flags ?? []), ...globalFlags]) : next, source: undefined };
  return inside(command, before.slice(depth), prefix);
}

function inside(command: Command, given: readonly string[], prefix: string): Candidates {
  const flags = [...(command.flags ?? []), ...globalFlags];
  const last = given.at(-1);
  const waiting = flags.find((f) => f.value !== undefined && (last === `--${f.name}` || last === `-${f.short}`));
  if (waiting !== undefined) return { prefix, words: [], source: waiting.complete };
  if (prefix.startsWith("-")) return { prefix, words: flagWords(flags), source: undefined };
  const position = given.filter((word, i) => !word.startsWith("-") && !takesNext(given[i - 1], flags)).length;
  const args = command.args ?? [];
  return { prefix, words: [], source: position < args.length ? args[position]?.complete : furtherNames(command) };
}

/** More of what the last argument is, where they have one name. */
function furtherNames({ args, rest }: Command): NameSource | undefined {
  if (rest?.from !== "names") return undefined;
  const last = args?.at(-1);
  return rest.complete ?? (last?.name === rest.name ? last.complete : undefined);
}

function longestCommand(words: readonly string[]): Command | undefined {
  for (let length = Math.min(2, words.length); length > 0; length--) {
    const found = commands.find((c) => c.path === words.slice(0, length).join(" "));
    if (found !== undefined) return found;
  }
  return undefined;
}

function nextWords(path: string): string[] {
  const shown = commands.filter((c) => c.hidden !== true);
  const below = path === "" ? shown : shown.filter((c) => c.path.startsWith(`${path} `));
  const depth = path === "" ? 0 : path.split(" ").length;
  return [...new Set(below.map((c) => c.path.split(" ")[depth] ?? ""))];
}

function flagWords(flags: readonly Flag[]): string[] {
  return flags.map((f) => `--${f.name}`);
}

function takesNext(word: string | undefined, flags: readonly Flag[]): boolean {
  return flags.some((f) => f.value !== undefined && (word === `--${f.name}` || (f.short !== undefined && word === `-${f.short}`)));
}
