import type { Command } from "./command.ts";
import { SpecError, type SpecProblem } from "../base/errors.ts";

/** The daemon names what it refuses by its place in the request; whoever typed a command line knows flags and arguments. Anything else is left as it is. */
export function inWordsOf(command: Command, error: unknown): unknown {
  if (!(error instanceof SpecError) || error.problems.some((problem) => problem.place !== undefined)) return error;
  return new SpecError(error.problems.map((problem) => ({ ...problem, path: wordFor(command, problem) })));
}

/** `subnets[0]` is --subnet, `query.to` is TO, `networks[1].address` belongs to --network. */
function wordFor(command: Command, { path }: SpecProblem): string {
  const keys = path.replace(/^(query|path)\./, "").split(/[.[]/);
  const head = keys[0] ?? "";
  const own = keys.findLast((key) => Object.hasOwn(ownWords, key)) ?? "";
  return (
    flagFor(command, ownWords[own] ?? "") ??
    flagFor(command, ownWords[head] ?? head) ??
    flagFor(command, head) ??
    argumentFor(command, head) ??
    path
  );
}

/** Keys of requests whose flags have names of their own. */
const ownWords: Readonly<Record<string, string>> = {
  cwd: "workdir",
  max_output: "max-output",
  gateway: "gateway",
  reserved: "reserved",
  allow: "allow",
  timeoutMs: "timeout",
  graceMs: "grace",
  outputLimit: "output-limit",
  sshPort: "ssh-port",
  userData: "user-data",
};

/** Lists have a flag for each entry: `peers` is --peer. But `cpus` is --cpus, though there is --cpu as well. */
function flagFor(command: Command, key: string): string | undefined {
  const named = (name: string) => (command.flags ?? []).find((f) => f.name === name);
  const flag = [named(key), named(key.replace(/s$/, ""))].find(
    (f) => f !== undefined && !command.args?.some((arg) => wordOf(arg.name) === wordOf(key)),
  );
  return flag === undefined ? undefined : `--${flag.name}`;
}

function argumentFor(command: Command, key: string): string | undefined {
  const named = [...(command.args ?? []), ...(command.rest === undefined ? [] : [command.rest])].map((word) => word.name);
  const wanted = key === "reference" ? "REF" : key === "command" ? "CMD" : key.toUpperCase();
  const found = named.find((name) => wordOf(name) === wanted);
  return found === undefined ? undefined : wanted;
}

/** `TO[:PORT]` is TO. */
function wordOf(name: string): string {
  return /^[A-Za-z]*/.exec(name)?.[0].toUpperCase() ?? "";
}
