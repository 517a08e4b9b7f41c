import { readFileSync, statSync } from "node:fs";
import type { VerbContext } from "../context.ts";
import { NexusError } from "../../base/errors.ts";
import { named, projectFiles } from "./files.ts";
import { loadProject } from "../../spec/compose/load.ts";
import type { Project } from "../../spec/compose/project.ts";

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
  for (const { place, path, problem, hint } of warnings)
    c.out.note(
      `${place === undefined ? "" : `${place}: `}warning: ${path === "" ? "" : `${path}: `}${problem}${hint === undefined ? "" : ` (${hint})`}`,
    );
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
