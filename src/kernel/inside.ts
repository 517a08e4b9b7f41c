import { lstatSync, readlinkSync, type Stats } from "node:fs";
import { join } from "node:path";

/** Where a path of a root file system really is, and what is there. */
export type Inside = { path: string; stat: Stats | undefined };

/**
 * Follows a path as a process would whose root directory is `root`: absolute links start at that root again and `..`
 * does not climb above it, so the answer never lies outside, whatever links the root file system holds.
 * The last component may be absent (`stat` undefined); a missing parent, or more than 40 links, gives undefined.
 * Safe only while nothing else writes to the tree; the last component is followed unless `lastLink` is "keep".
 */
export function resolveInside(root: string, path: string, options: { lastLink?: "follow" | "keep" } = {}): Inside | undefined {
  const waiting = split(path).reverse();
  const done: string[] = [];
  for (let links = 0; ;) {
    const part = waiting.pop();
    if (part === undefined) return { path: join(root, ...done), stat: statOf(join(root, ...done)) };
    if (part === "..") {
      done.pop();
      continue;
    }
    const here = join(root, ...done, part);
    const stat = statOf(here);
    if (stat === undefined) return waiting.length === 0 ? { path: here, stat } : undefined;
    if (stat.isSymbolicLink()) {
      if (waiting.length === 0 && options.lastLink === "keep") return { path: here, stat };
      if (++links > 40) return undefined;
      const target = readlinkSync(here);
      if (target.startsWith("/")) done.length = 0;
      waiting.push(...split(target).reverse());
      continue;
    }
    if (waiting.length > 0 && !stat.isDirectory()) return undefined;
    done.push(part);
  }
}

function split(path: string): string[] {
  return path.split("/").filter((part) => part !== "" && part !== ".");
}

function statOf(path: string): Stats | undefined {
  try {
    return lstatSync(path);
  } catch {
    return undefined;
  }
}
