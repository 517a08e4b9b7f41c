import { join, relative } from "node:path";

const launcher = join(import.meta.dirname, "../../../nexus");

/** A command line that can be pasted where this one was typed: `./nexus quickstart --yes`. */
export function invocation(words: readonly string[], cwd: string = process.cwd()): string {
  const near = relative(cwd, launcher);
  const program = near.startsWith("..") ? launcher : `./${near}`;
  return [program, ...words].map(quoted).join(" ");
}

function quoted(word: string): string {
  return /^[\w./:=@%+-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
