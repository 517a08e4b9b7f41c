import { createHash } from "node:crypto";
import { readdirSync, realpathSync, statSync } from "node:fs";
import { NexusError } from "../base/errors.ts";
import { isHostShort, systemRefusal } from "../base/system-error.ts";
import { resolveInside } from "../kernel/inside.ts";
import { idleCommand, type RootImage } from "./image-config.ts";

/** A directory of the host as a root file system; guests see it through a layer of their own and never write to it. @throws NexusError `image-missing` */
export function directoryImage(path: string): RootImage {
  let lower: string;
  try {
    lower = realpathSync(path);
  } catch (error) {
    if (isHostShort(error)) throw systemRefusal(error) ?? error;
    throw new NexusError("image-missing", `directory ${path} cannot be used: ${(error as NodeJS.ErrnoException).code}`, {
      hint: "give a directory of this host that holds a root file system, by its absolute path",
      cause: error,
    });
  }
  if (!statSync(lower).isDirectory()) throw new NexusError("image-missing", `${path} is not a directory`);
  if (lower === "/")
    throw new NexusError("image-missing", "the host's own root directory cannot be an image", { hint: "give a directory made for guests" });
  if (!holdsPrograms(lower)) {
    throw new NexusError("image-missing", `directory ${path} has nothing to run in bin, usr/bin, sbin or usr/sbin, nor at its top`, {
      hint: "unpack a root file system into it, for example with debootstrap",
    });
  }
  const key = createHash("sha256").update(lower).digest("hex").slice(0, 32);
  return {
    reference: path,
    key: `directory:${key}`,
    lower,
    config: { entrypoint: [], command: idleCommand, env: [], workingDirectory: "/", user: "" },
  };
}

function holdsPrograms(root: string): boolean {
  return ["/bin", "/usr/bin", "/sbin", "/usr/sbin", "/usr/local/bin", "/"].some((directory) => {
    const found = resolveInside(root, directory);
    return found?.stat?.isDirectory() === true && hasExecutable(root, directory);
  });
}

function hasExecutable(root: string, directory: string): boolean {
  return namesOf(root, directory).some((name) => {
    const file = resolveInside(root, `${directory}/${name}`)?.stat;
    return file?.isFile() === true && (file.mode & 0o111) !== 0;
  });
}

function namesOf(root: string, directory: string): string[] {
  const found = resolveInside(root, directory);
  return found === undefined ? [] : readdirSync(found.path);
}
