import { existsSync, readFileSync, statSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import type { VerbContext } from "../context.ts";
import { NexusError } from "../../base/errors.ts";
import { loadProject } from "../../spec/compose/load.ts";
import type { Project } from "../../spec/compose/project.ts";

/** In the order they are looked for. The last two are another tool's, read as they are. */
const fileNames = ["nexus-compose.yaml", "nexus-compose.yml", "qemu-compose.yaml", "qemu-compose.yml"] as const;
const overrideNames: Readonly<Record<string, readonly string[]>> = {
  "nexus-compose.yaml": ["nexus-compose.override.yaml", "nexus-compose.override.yml"],
  "nexus-compose.yml": ["nexus-compose.override.yml", "nexus-compose.override.yaml"],
};

/** The files of a project: the first is the compose file, the others are put over it. */
export type ProjectFiles = { directory: string; files: readonly [string, ...string[]] };

/**
 * The files given with -f, or the compose file of this directory or the nearest one above it. @throws NexusError not-found saying
 * where was looked
 */
export function projectFiles(c: VerbContext): ProjectFiles {
  const found = findProjectFiles(c);
  if (found !== undefined) return found;
  throw new NexusError("not-found", `there is no ${fileNames[0]} in ${process.cwd()} or above it`, {
    hint: "go to your project's directory, or name the file with -f",
  });
}

/** As projectFiles, but undefined when there is none. @throws NexusError not-found for a file of -f */
export function findProjectFiles(c: VerbContext): ProjectFiles | undefined {
  const [first, ...more] = c.flags.many("file");
  if (first !== undefined) return named([first, ...more]);
  for (let directory = process.cwd(); ; directory = dirname(directory)) {
    const name = fileNames.find((candidate) => existsSync(join(directory, candidate)));
    if (name !== undefined) {
      const override = overrideNames[name]?.find((candidate) => existsSync(join(directory, candidate)));
      return { directory, files: [join(directory, name), ...(override === undefined ? [] : [join(directory, override)])] };
    }
    if (directory === dirname(directory)) return undefined;
  }
}

function named([first, ...more]: readonly [string, ...string[]]): ProjectFiles {
  const file = resolve(first);
  return { directory: dirname(file), files: [file, ...more.map((other) => resolve(other))] };
}

export type OpenOptions = {
  /** By default those of -f, or those found. */
  files?: readonly [string, ...string[]];
  allProfiles?: boolean;
};

/** The project as its files describe it; what is understood but may not be meant is told on stderr. @throws SpecError with every fault */
export function openProject(c: VerbContext, options: OpenOptions = {}): Project {
  const { directory, files } = options.files === undefined ? projectFiles(c) : named(options.files);
  const [main, ...overrides] = files.map((file) => ({ file: shown(file), text: textOf(file) }));
  const isDeclared = (name: string) => (c.command.flags ?? []).some((flag) => flag.name === name);
  const projectName = isDeclared("project-name") ? c.flags.text("project-name") : undefined;
  const profiles =
    options.allProfiles === true
      ? ["*"]
      : [...(isDeclared("profile") ? c.flags.many("profile") : []), ...profilesOf(c.io.env["NEXUS_PROFILES"])];
  const { project, warnings } = loadProject({
    file: main?.file ?? "",
    text: main?.text ?? "",
    directory,
    overrides,
    env: c.io.env,
    read: textIfThere,
    profiles,
    ...(projectName === undefined ? {} : { projectName }),
  });
  for (const { place, problem, hint } of warnings)
    c.out.note(`${place === undefined ? "" : `${place}: `}warning: ${problem}${hint === undefined ? "" : ` (${hint})`}`);
  return project;
}

function profilesOf(list = ""): string[] {
  return list.split(",").filter((name) => name !== "");
}

/** As the user would name it. */
function shown(file: string): string {
  const here = `${process.cwd()}/`;
  return file.startsWith(here) ? file.slice(here.length) : file;
}

function textOf(file: string): string {
  const text = textIfThere(file);
  if (text !== undefined) return text;
  throw new NexusError("not-found", `there is no file ${shown(file)}`);
}

/** Undefined when there is no such file. @throws NexusError usage for what is no file, or cannot be read */
function textIfThere(path: string): string | undefined {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return undefined;
  if (!stat.isFile()) throw new NexusError("usage", `${shown(path)} is no plain file`);
  if (stat.size > largestFileBytes) throw new NexusError("too-large", `${shown(path)} has ${stat.size} bytes; at most ${largestFileBytes}`);
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new NexusError("usage", `${shown(path)} cannot be read: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  }
}

const largestFileBytes = 4 * 1024 * 1024;
