import { NexusError } from "../base/errors.ts";
import { nameOf } from "../guests/guest-files.ts";
import { Rooted } from "../kernel/rooted.ts";
import { walkBelow } from "../kernel/rooted-walk.ts";
import { makeMatcher } from "./glob.ts";
import { LeftOut, type LeftOutFile } from "./left-out.ts";
import type { FacilityPlace } from "./place.ts";
import { mostEntries } from "./survey.ts";

/** Files a pattern means, to be read one by one. */
export type Artifacts = {
  /** In the order of their paths, which begin without a slash. */
  files: { path: string; sizeBytes: number; mode: number }[];
  leftOut: LeftOutFile[];
  leftOutCount: number;
};

/** The most files, and bytes of all together. What is sparse counts with what it seems to have. */
export type ArtifactLimits = { files: number; bytes: number };

/**
 * Finds what patterns mean. Links are not followed and not taken, nor are pipes, sockets and devices; what is meant and not taken is
 * named. @throws NexusError `too-large` past 200,000 entries; the signal's reason
 */
export async function findArtifacts(
  place: FacilityPlace,
  { globs, limits, signal }: { globs: readonly string[]; limits: ArtifactLimits; signal: AbortSignal },
): Promise<Artifacts> {
  const matchers = globs.map(makeMatcher);
  const isMeant = (path: string) => matchers.some((matches) => matches(path));
  const leftOut = new LeftOut();
  const files: Artifacts["files"] = [];
  using root = Rooted.openDirectory(place.workspace, "the facility", place.owner);
  let [entries, bytes] = [0, 0];
  const onDeep = (path: Buffer) => leftOut.add(path, "lies more than 200 directories deep");
  for await (const { path, stats } of walkBelow(root, { enter: () => true, deepest: 200, onDeep })) {
    signal.throwIfAborted();
    if (++entries > mostEntries)
      throw new NexusError("too-large", `the facility has more than ${mostEntries} files`, { hint: "pack them by a command inside" });
    const { name, nameBytes } = nameOf(path);
    if (stats.isDirectory() || !isMeant(name)) continue;
    if (!stats.isFile())
      leftOut.add(path, `is a ${stats.isSymbolicLink() ? "link" : stats.isFIFO() ? "pipe" : stats.isSocket() ? "socket" : "device"}`);
    else if (nameBytes !== undefined) leftOut.add(path, "has a name that is no text");
    else if (files.length >= limits.files) leftOut.add(path, `is more than ${limits.files} files`);
    else if (bytes + Number(stats.size) > limits.bytes) leftOut.add(path, `with ${stats.size} bytes it would be more than ${limits.bytes}`);
    else {
      bytes += Number(stats.size);
      files.push({ path: name, sizeBytes: Number(stats.size), mode: Number(stats.mode & 0o777n) });
    }
  }
  return { files, leftOut: leftOut.files, leftOutCount: leftOut.count };
}
