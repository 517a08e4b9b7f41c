import { existsSync, lstatSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import type { VerbContext } from "../context.ts";
import { NexusError } from "../../base/errors.ts";

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
  throw new NexusError("not-found", `there is no ${fileNames[0]} of yours in ${process.cwd()} or above it`, {
    hint: "go to your project's directory, or name the file with --file",
  });
}

/** As projectFiles, but undefined when there is none. @throws NexusError not-found for a file of -f */
export function findProjectFiles(c: VerbContext): ProjectFiles | undefined {
  const [first, ...more] = c.flags.many("file");
  if (first !== undefined) return named([first, ...more]);
  for (let directory = process.cwd(); ; directory = dirname(directory)) {
    const name = fileNames.find((candidate) => isMeant(c, directory, candidate));
    if (name !== undefined) {
      const override = overrideNames[name]?.find((candidate) => isMeant(c, directory, candidate));
      return { directory, files: [join(directory, name), ...(override === undefined ? [] : [join(directory, override)])] };
    }
    if (directory === dirname(directory)) return undefined;
  }
}

/**
 * Whether a file that was not named may decide what this user does. Another's may not, who can put one above, as in /tmp; but
 * whoever goes to another's own directory means what is there.
 */
function isMeant(c: VerbContext, directory: string, name: string): boolean {
  const owner = ownerOf(join(directory, name));
  if (owner === undefined) return false;
  if ([0, c.io.uid, Number(c.io.env["SUDO_UID"] ?? c.io.uid)].includes(owner)) return true;
  return directory === process.cwd() && owner === ownerOf(directory);
}

/** Of a link itself: what it leads to was chosen by whoever made it. */
function ownerOf(path: string): number | undefined {
  return existsSync(path) ? lstatSync(path).uid : undefined;
}

/** As -f gives them. */
export function named([first, ...more]: readonly [string, ...string[]]): ProjectFiles {
  const file = resolve(first);
  return { directory: dirname(file), files: [file, ...more.map((other) => resolve(other))] };
}
