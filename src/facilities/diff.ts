import type { LeftOutFile } from "./left-out.ts";
import { nameOf } from "../guests/guest-files.ts";
import type { FacilityPlace } from "./place.ts";
import { type Moment, Stores } from "./stores.ts";

/** How the files differ from what they were. */
export type FacilityDiff = {
  since: Moment;
  /** What `git apply` takes; whole files' parts, up to the limit. */
  patch: Buffer;
  /** There is more that differs. */
  truncated: boolean;
  files: ChangedFile[];
  leftOut: LeftOutFile[];
  leftOutCount: number;
};

/** Lines added and removed; undefined where the file is no text. */
export type ChangedFile = { path: string; pathBytes?: string; added?: number; removed?: number };

/**
 * What changed since a moment: also what git was never told of, and what was committed meanwhile. The patch is in git's own form with
 * binary files in full, without renames. @throws NexusError `too-large`, `timeout`, `runtime-failed`
 */
export async function diffSince(
  place: FacilityPlace,
  { since, limitBytes, signal }: { since: Moment; limitBytes: number; signal: AbortSignal },
): Promise<FacilityDiff> {
  const stores = new Stores(place);
  try {
    const { leftOut } = await stores.look(since, signal);
    const compare = async (form: readonly string[], outputBytes: number) =>
      await stores.git("look", ["diff-tree", "-r", ...form, ...plain, "refs/heads/before", "refs/heads/now", "--"], {
        what: "compare the files",
        deadlineMs: diffDeadlineMs,
        signal,
        outputBytes,
      });
    const numbers = await compare(["--numstat", "-z"], mostNumberBytes);
    const patch = await compare(["-p", "--binary", "--full-index"], limitBytes);
    return {
      since,
      patch: patch.cut ? wholeFiles(patch.output) : patch.output,
      truncated: patch.cut || numbers.cut,
      files: changedFiles(numbers.output),
      leftOut: leftOut.files,
      leftOutCount: leftOut.count,
    };
  } finally {
    await stores.forgetLook();
  }
}

const plain = ["--no-renames", "--no-color", "--no-ext-diff", "--no-textconv", "--no-relative", "--src-prefix=a/", "--dst-prefix=b/"];

/** Ends where the last file that is there in full ends, so that what is left can still be applied. */
export function wholeFiles(patch: Buffer): Buffer {
  const start = patch.lastIndexOf("\ndiff --git ");
  return patch.subarray(0, start + 1);
}

/** git-diff-tree(1), --numstat -z: `added TAB removed TAB path NUL`, dashes for what is no text. */
export function changedFiles(output: Buffer): ChangedFile[] {
  const files: ChangedFile[] = [];
  for (let at = 0; at < output.length;) {
    const end = output.indexOf(0, at);
    if (end === -1) break;
    const record = output.subarray(at, end);
    at = end + 1;
    const tabs = [record.indexOf(9), record.indexOf(9, record.indexOf(9) + 1)] as const;
    if (tabs[0] < 1 || tabs[1] < tabs[0]) continue;
    const { name, nameBytes } = nameOf(record.subarray(tabs[1] + 1));
    const count = (text: Buffer) => (/^\d+$/.test(text.toString()) ? Number(text) : undefined);
    const [added, removed] = [count(record.subarray(0, tabs[0])), count(record.subarray(tabs[0] + 1, tabs[1]))];
    files.push({
      path: name,
      ...(nameBytes === undefined ? {} : { pathBytes: nameBytes }),
      ...(added === undefined || removed === undefined ? {} : { added, removed }),
    });
  }
  return files;
}

const diffDeadlineMs = 120_000;
const mostNumberBytes = 4 * 1024 * 1024;
