import { dirname } from "node:path/posix";
import type { SpecProblem } from "../../base/errors.ts";
import { isFault, type Name, parseName } from "../../base/names.ts";
import { Budget } from "./budget.ts";
import { buildProject } from "./build.ts";
import { type Context, shownPath } from "./context.ts";
import { readDotenv } from "./dotenv.ts";
import { Faults } from "./faults.ts";
import { Files } from "./files.ts";
import type { Variables } from "./interpolate.ts";
import { directoryName, madeName } from "./names.ts";
import type { Project } from "./project.ts";
import { type Mapping, placeOf, under } from "./tree.ts";

export type LoadOptions = {
  /** As it is named in messages. */
  file: string;
  text: string;
  /** Where the file is, absolute: paths in it and in the overrides are meant from here. By default the part of `file` before its last "/". */
  directory?: string;
  /** Further files, each put over those before it. */
  overrides?: readonly { file: string; text: string }[];
  env: Readonly<Record<string, string | undefined>>;
  /** The text of a file by its absolute path, or undefined when it is not there: .env, env_file, extends, scripts. */
  read: (path: string) => string | undefined;
  /** Those that are on; "*" is all. */
  profiles?: readonly string[];
  /** Instead of the file's `name` or the directory's. */
  projectName?: string;
};

/**
 * A compose file, with all it refers to, as a project. `warnings` are what was understood but may not be meant.
 * @throws SpecError with every fault at once, each with `file:line:col`
 */
export function loadProject(options: LoadOptions): { project: Project; warnings: SpecProblem[] } {
  const { file, env } = options;
  // No file has such a name, and not every reader takes one.
  const read = (path: string): string | undefined => (path.includes("\0") ? undefined : options.read(path));
  const directory = options.directory ?? dirname(file);
  if (!directory.startsWith("/")) throw new RangeError(`the directory of ${file} is not absolute`);
  const faults = new Faults();
  const budget = new Budget(faults);
  const variables = variablesOf({ file, directory, env, read, faults, budget });
  const files = new Files({ file, directory, variables, read, faults, budget });
  const tree = files.merged([{ file, text: options.text }, ...(options.overrides ?? [])]);
  if (tree === undefined) faults.throwIfAny();
  const whole: Mapping = tree ?? { kind: "mapping", at: { source: { file, directory, order: 0 }, line: 1, col: 1 }, entries: new Map() };
  const project = projectName(whole, { faults, directory, wanted: options.projectName });
  const context: Context = { project, file, directory, variables, read, faults, budget };
  const built = buildProject(context, whole, new Set(options.profiles));
  faults.throwIfAny();
  return { project: built, warnings: faults.warnings() };
}

/** The environment, and below it the directory's .env. */
function variablesOf({
  file,
  directory,
  env,
  read,
  faults,
  budget,
}: Pick<LoadOptions, "file" | "env" | "read"> & { directory: string; faults: Faults; budget: Budget }): Variables {
  const own: Variables = (name) => (Object.hasOwn(env, name) ? env[name] : undefined);
  const path = `${directory === "/" ? "" : directory}/.env`;
  const text = read(path);
  if (text === undefined) return own;
  const source = { file: shownPath({ file, directory }, path), directory, order: -1 };
  const values = readDotenv(text, { source, variables: own, faults, budget });
  return (name) => own(name) ?? values.get(name)?.text;
}

function projectName(
  tree: Mapping,
  { faults, directory, wanted }: { faults: Faults; directory: string; wanted: string | undefined },
): Name {
  const fallback = "project" as Name;
  const given = under(tree, "name");
  const text = wanted ?? (given?.kind === "scalar" ? given.text : undefined);
  if (text === undefined) {
    const name = directoryName(directory);
    if (name === undefined) faults.add(tree.at, { problem: `the directory ${directory} makes no project name`, hint: "give one by name" });
    return name ?? fallback;
  }
  const name = parseName(text);
  if (!isFault(name)) return name;
  const fit = madeName(text);
  faults.add(wanted === undefined ? placeOf(tree, ["name"]) : tree.at, {
    path: "name",
    problem: name.fault,
    hint: fit === undefined ? undefined : `write ${fit}`,
  });
  return fit ?? fallback;
}
