import { spawn } from "node:child_process";
import { readdirSync } from "node:fs";
import { createInterface } from "node:readline";
import { NexusError } from "../../base/errors.ts";

export type Install = {
  path: string;
  /** The command that asks for nothing and can be typed instead. */
  aptGet: string;
  /** Where apt keeps what it knows of packages. */
  lists?: string;
  progress: (line: string) => void;
  signal: AbortSignal;
};

const longestMs = 10 * 60_000;

/** Installs Debian packages; the lists are fetched first when there are none, or when what they say is out of date. @throws NexusError runtime-failed with apt's last lines */
export async function installPackages(names: readonly string[], how: Install): Promise<void> {
  const install = ["install", "-y", "--no-install-recommends", ...names];
  const failed: Ended[] = [];
  if (hasLists(how.lists ?? "/var/lib/apt/lists")) {
    const first = await aptGet(install, how);
    if (first.code === 0) return;
    failed.push(first);
  }
  const update = await aptGet(["update"], how);
  const last = update.code === 0 ? await aptGet(install, how) : update;
  if (last.code === 0) return;
  // Offline, the second failure says less than the first.
  const told = update.code === 0 ? [last] : [...failed, last];
  throw new NexusError("runtime-failed", told.flatMap((ended) => [sentence(ended), ...ended.words]).join("\n"), {
    hint: "mend that, or install these yourself, then run this again",
    details: { packages: [...names] },
  });
}

/** Fetches apt's lists anew: what a virtual machine is built from is downloaded by name. @throws NexusError runtime-failed */
export async function refreshLists(how: Install): Promise<void> {
  const update = await aptGet(["update"], how);
  if (update.code === 0) return;
  throw new NexusError("runtime-failed", [sentence(update), ...update.words].join("\n"), { hint: "mend that, then run this again" });
}

type Ended = { args: readonly string[]; code: number | null; words: string[] };

function sentence({ args, code }: Ended): string {
  return `apt-get ${args.join(" ")} ${code === null ? "was ended" : `ended with code ${code}`}; its last words:`;
}

async function aptGet(args: readonly string[], how: Install): Promise<Ended> {
  how.signal.throwIfAborted();
  how.progress(`apt-get ${args.join(" ")}`);
  // Another apt may be at work on a machine that has just started: wait for its lock rather than fail.
  const child = spawn(how.aptGet, ["-o", "DPkg::Lock::Timeout=120", ...args], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { PATH: how.path, DEBIAN_FRONTEND: "noninteractive", LC_ALL: "C" },
    timeout: longestMs,
    signal: how.signal,
  });
  const words: string[] = [];
  const take = (line: string) => {
    if (line.trim() === "") return;
    words.push(line);
    if (words.length > 12) words.shift();
    how.progress(line);
  };
  for (const stream of [child.stdout, child.stderr]) createInterface({ input: stream }).on("line", take);
  const { promise, resolve, reject } = Promise.withResolvers<number | null>();
  child.on("error", reject);
  child.on("close", resolve);
  return { args, code: await promise, words };
}

function hasLists(directory: string): boolean {
  try {
    return readdirSync(directory).some((name) => name.includes("_Packages"));
  } catch {
    return false;
  }
}
