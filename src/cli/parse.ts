import { type Command, type Flag, globalFlags } from "./command.ts";
import { nearest } from "../spec/nearest.ts";
import { NexusError } from "../base/errors.ts";

/** A command line understood. */
export type Parsed = {
  kind: "command";
  command: Command;
  args: Map<string, string>;
  flags: Map<string, string[]>;
  rest: string[];
};

/** Asked for help, or gave too little to be one command: `path` is as far as it went. */
export type HelpWanted = { kind: "help"; path: string; asked: boolean; flags: Map<string, string[]> };

/** Reads words into a command with its arguments. @throws NexusError usage, with the nearest word that would be right */
export function parseCommandLine(words: readonly string[], commands: readonly Command[]): Parsed | HelpWanted {
  const flags = new Map<string, string[]>();
  const queue = [...words];
  const path: string[] = [];
  while (queue.length > 0) {
    const word = queue[0] ?? "";
    if (word.startsWith("-") && word !== "--" && path.length < 2 && isGlobal(word)) {
      takeFlag(queue, { flags, known: globalFlags, where: "nexus" });
      continue;
    }
    if (word === "--version" && path.length === 0) queue[0] = "version";
    const longer = [...path, queue[0] ?? ""].join(" ");
    if (!commands.some((c) => c.path === longer || c.path.startsWith(`${longer} `))) break;
    path.push(queue.shift() ?? "");
  }
  if (path.length === 0 && queue[0] === "help") return { kind: "help", path: queue.slice(1).join(" "), asked: true, flags };
  const command = commands.find((c) => c.path === path.join(" "));
  if (command !== undefined) return parseArguments(command, queue, flags);
  if (flags.has("help") || queue.length === 0) return { kind: "help", path: path.join(" "), asked: flags.has("help"), flags };
  throw unknownWord(path, queue[0] ?? "", commands);
}

function parseArguments(command: Command, queue: string[], flags: Map<string, string[]>): Parsed | HelpWanted {
  const known = [...(command.flags ?? []), ...globalFlags];
  const positionals = command.args ?? [];
  const words: string[] = [];
  const rest: string[] = [];
  while (queue.length > 0) {
    const word = queue[0] ?? "";
    if (word === "--") {
      if (command.rest === undefined) words.push(...queue.slice(1));
      else rest.push(...queue.slice(1));
      break;
    }
    if (word.startsWith("-") && word.length > 1 && !/^-\d/.test(word)) {
      takeFlag(queue, { flags, known, where: `nexus ${command.path}`, singleDash: command.singleDash === true });
      continue;
    }
    const full = words.length === positionals.length;
    if (full && command.rest?.from === "first-word") {
      rest.push(...queue);
      break;
    }
    (full && command.rest?.from === "names" ? rest : words).push(queue.shift() ?? "");
  }
  if (flags.has("help")) return { kind: "help", path: command.path, asked: true, flags };
  takeNames(command, flags, { words, rest });
  return { kind: "command", command, args: nameArguments(command, words), flags, rest };
}

/** What was given as `--name` stands where the argument would; a command on one object takes one name only. */
function takeNames(command: Command, flags: ReadonlyMap<string, string[]>, to: { words: string[]; rest: string[] }): void {
  const at = (command.args ?? []).findIndex((positional) => positional.orFlag !== undefined);
  const given = flags.get(command.args?.[at]?.orFlag ?? "") ?? [];
  for (const name of given) {
    if (to.words.length === at) to.words.push(name);
    else if (command.rest?.from === "names") to.rest.push(name);
    else if (to.words[at] !== name) throw usage(command, `two names are given, ${to.words[at]} and ${name}`);
  }
}

function nameArguments(command: Command, words: string[]): Map<string, string> {
  const args = new Map<string, string>();
  const positionals = command.args ?? [];
  const extra = words[positionals.length];
  if (extra !== undefined)
    throw usage(command, command.rest?.from === "dashes" ? `"${extra}": a command follows --` : `too many arguments: "${extra}"`);
  positionals.forEach((positional, i) => {
    const word = words[i];
    if (word !== undefined) args.set(positional.name, word);
    else if (positional.optional !== true) throw usage(command, `${positional.name} is missing`);
  });
  return args;
}

type FlagPlace = { flags: Map<string, string[]>; known: readonly Flag[]; where: string; singleDash?: boolean };

/** Takes one flag word, and its value when it has one, off the queue. */
function takeFlag(queue: string[], place: FlagPlace): void {
  const word = queue.shift() ?? "";
  const long = word.startsWith("--") || (place.singleDash === true && place.known.some((f) => f.name === word.slice(1).split("=")[0]));
  if (!long) return takeShort(word, queue, place);
  const body = word.replace(/^--?/, "");
  const mark = body.indexOf("=");
  const name = mark === -1 ? body : body.slice(0, mark);
  const flag = place.known.find((f) => f.name === name);
  if (flag === undefined) throw unknownFlag(`--${name}`, place);
  if (flag.value === undefined) {
    if (mark !== -1) throw new NexusError("usage", `${place.where}: --${name} takes no value`);
    return store(flag, "", place);
  }
  store(flag, mark === -1 ? valueAfter(queue, `--${name}`, flag, place) : body.slice(mark + 1), place);
}

/** `-it` is `-i -t`; `-n5` and `-n 5` are the same. */
function takeShort(word: string, queue: string[], place: FlagPlace): void {
  for (let i = 1; i < word.length; i++) {
    const flag = place.known.find((f) => f.short === word[i]);
    if (flag === undefined) throw unknownFlag(`-${word[i]}`, place);
    if (flag.value === undefined) {
      store(flag, "", place);
      continue;
    }
    const attached = word.slice(i + 1).replace(/^=/, "");
    return store(flag, attached !== "" ? attached : valueAfter(queue, `-${word[i]}`, flag, place), place);
  }
}

function valueAfter(queue: string[], written: string, flag: Flag, place: FlagPlace): string {
  const value = queue.shift();
  if (value === undefined || value === "--")
    throw new NexusError("usage", `${place.where}: ${written} needs a value: ${written} ${flag.value ?? ""}`);
  return value;
}

function store(flag: Flag, value: string, place: FlagPlace): void {
  const values = place.flags.get(flag.name);
  if (values === undefined) place.flags.set(flag.name, [value]);
  else if (flag.many === true) values.push(value);
  else if (flag.value !== undefined) throw new NexusError("usage", `${place.where}: --${flag.name} is given twice`);
}

function isGlobal(word: string): boolean {
  const name = word.split("=")[0];
  return globalFlags.some((f) => `--${f.name}` === name || (f.short !== undefined && `-${f.short}` === name));
}

function usage(command: Command, problem: string): NexusError {
  return new NexusError("usage", `nexus ${command.path}: ${problem}`, { hint: `for example: ${command.example}` });
}

function unknownFlag(written: string, place: FlagPlace): NexusError {
  const known = place.known.map((f) => `--${f.name}`);
  // What one command switches off by a word of its own is on|off in another.
  const plain = written.replace(/^--no-/, "--");
  const meant = plain !== written && known.includes(plain) ? plain : meantBy(written, known);
  const hint = meant === undefined ? `\`${place.where} --help\` lists its flags` : `did you mean ${meant}?`;
  return new NexusError("usage", `${place.where}: unknown flag ${written}`, { hint });
}

function unknownWord(path: string[], word: string, commands: readonly Command[]): NexusError {
  const siblings = commands.filter((c) => c.hidden !== true && c.path.split(" ").slice(0, path.length).join(" ") === path.join(" "));
  const meant = meantBy(
    word,
    siblings.map((c) => c.path.split(" ")[path.length] ?? ""),
  );
  const where = ["nexus", ...path].join(" ");
  return new NexusError("usage", `${where}: unknown command "${word}"`, {
    hint: meant === undefined ? `\`${where} --help\` lists them` : `did you mean \`${where} ${meant}\`?`,
  });
}

/** Who stops early means the shortest word that goes on; who errs means the nearest. */
function meantBy(word: string, known: readonly string[]): string | undefined {
  const longer = /[a-z]{2}/.test(word) ? known.filter((other) => other.startsWith(word)) : [];
  return longer.toSorted((a, b) => a.length - b.length)[0] ?? nearest(word, known);
}
