import { spawn } from "node:child_process";
import { lstatSync, opendirSync } from "node:fs";
import { rm } from "node:fs/promises";
import { isAbsolute, join, normalize } from "node:path";
import { NexusError } from "../base/errors.ts";
import { listMounts, unmount } from "../kernel/mounts.ts";

/**
 * Removes a guest's directory with everything in it; absent is fine. What is mounted below is unmounted first, and while
 * anything still is, nothing is deleted. Links are removed, never followed. A guest can make a million files, while whose
 * removal nothing else here could run: all but small trees are left to rm(1), which can also go deeper than a path may be long.
 * The directory keeps its name to the end, so that what a crash leaves is found again.
 * @throws NexusError
 */
export async function removeTree(directory: string): Promise<void> {
  if (!isAbsolute(directory) || normalize(directory) !== directory || directory.split("/").length < 3) {
    throw new NexusError("internal", `refusing to remove ${directory}: not a plain absolute path`);
  }
  const stat = lstatSync(directory, { throwIfNoEntry: false });
  if (stat === undefined) return;
  if (!stat.isDirectory()) throw new NexusError("internal", `refusing to remove ${directory}: it is not a directory`);
  for (const target of mountsBelow(directory).reverse()) unmount(target);
  const left = mountsBelow(directory);
  if (left.length > 0) throw new NexusError("in-use", `cannot remove ${directory}: ${left.join(", ")} stays mounted`);
  if (isSmall(directory)) await rm(directory, { recursive: true, force: true });
  else await runRm(directory);
}

const fewEntries = 500;

/** Whether it is removed faster than a program is started that would; false when it cannot be looked through. */
function isSmall(directory: string): boolean {
  const waiting = [directory];
  try {
    for (let entries = 0, path = waiting.pop(); path !== undefined; path = waiting.pop()) {
      using listing = opendirSync(path);
      for (let entry = listing.readSync(); entry !== null; entry = listing.readSync()) {
        if (++entries > fewEntries) return false;
        if (entry.isDirectory()) waiting.push(join(path, entry.name));
      }
    }
    return true;
  } catch {
    return false;
  }
}

function mountsBelow(directory: string): string[] {
  return listMounts()
    .map((mount) => mount.target)
    .filter((target) => target === directory || target.startsWith(`${directory}/`));
}

function runRm(directory: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn("/bin/rm", ["-rf", "--one-file-system", "--", directory], { stdio: ["ignore", "ignore", "pipe"] });
    let said = "";
    child.stderr.on("data", (bytes: Buffer) => (said = (said + bytes.toString()).slice(0, 2000)));
    child.on("error", reject);
    child.on("close", (code) =>
      code === 0 ? resolve() : reject(new NexusError("internal", `cannot remove ${directory}: ${said.trim()}`)),
    );
  });
}
