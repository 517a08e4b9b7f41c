import { spawn } from "node:child_process";
import { readdirSync } from "node:fs";
import { createInterface } from "node:readline";
import { aptCause } from "../../base/apt-cause.ts";
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

/** Installs Debian packages; the lists are fetched first when there are none, or when what they say is out of date. @throws NexusError runtime-failed with the cause in a line, and apt's last lines in its details */
export async function installPackages(names: readonly string[], how: Install): Promise<void> {
  const install = ["install", "-y", "--no-install-recommends", ...names];
  const tried: Ended[] = [];
  const succeeds = async (args: readonly string[]): Promise<boolean> => {
    const ended = await aptGet(args, how);
    tried.push(ended);
    return ended.code === 0;
  };
  if (hasLists(how.lists ?? "/var/lib/apt/lists") && (await succeeds(install))) return;
  if ((await succeeds(["update"])) && (await succeeds(install))) return;
  throw failure(`install ${names.join(", ")}`, tried, {
    hint: "mend that, or install these yourself, then run this again",
    packages: [...names],
  });
}

/** Fetches apt's lists anew: what a virtual machine is built from is downloaded by name. @throws NexusError runtime-failed */
export async function refreshLists(how: Install): Promise<void> {
  const update = await aptGet(["update"], how);
  if (update.code !== 0) throw failure("fetch its lists", [update], { hint: "mend that, then run this again" });
}

type Ended = { code: number | null; words: string[] };

/** What came first counts: apt goes on with old lists or none, and then says less. */
function failure(what: string, tried: readonly Ended[], { hint, ...more }: { hint: string; packages?: string[] }): NexusError {
  const said = tried.flatMap(({ words }) => words).join("\n");
  const details = { ...more, said };
  return new NexusError("runtime-failed", `apt-get cannot ${what}: ${aptCause(said)}`, {
    hint: `${hint} (--json has all its last words)`,
    details,
  });
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
  return { code: await promise, words };
}

function hasLists(directory: string): boolean {
  try {
    return readdirSync(directory).some((name) => name.includes("_Packages"));
  } catch {
    return false;
  }
}
