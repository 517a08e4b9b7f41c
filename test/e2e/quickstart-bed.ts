import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { testCache } from "../../scripts/test-mini.ts";
import { lookForPackages } from "../../src/cli/quickstart/packages.ts";

export const root = join(import.meta.dirname, "../..");

export type Ran = { code: number | null; stdout: string; stderr: string; ms: number };

/** A machine as bare as one can have without another machine: own network, own /run, own state, nothing in them. */
export type Bed = AsyncDisposable & {
  run(command: readonly string[], options?: { env?: Record<string, string> }): Ran;
  start(command: readonly string[]): ChildProcess;
};

/** Why there is no bed to be had here, or undefined. */
export function noBed(): string | undefined {
  if (process.getuid?.() !== 0) return "needs root";
  const { missing } = lookForPackages(process.env["PATH"] ?? "");
  if (missing.length > 0) return `needs ${missing.map((need) => need.package).join(", ")}`;
  const tried = spawnSync("unshare", ["-n", "-m", "true"], { encoding: "utf8" });
  return tried.status === 0 ? undefined : `no namespaces: ${tried.stderr}`;
}

const furnish = `
set -e
for place in /run /var/lib /var/cache /etc/nexus; do [ ! -d $place ] || mount -t tmpfs tmpfs $place; done
ip link set lo up
echo ready
read end
`;

export async function makeBed(): Promise<Bed> {
  const holder = spawn("unshare", ["-n", "-m", "--propagation", "private", "sh", "-c", furnish], { stdio: ["pipe", "pipe", "inherit"] });
  const ready = await createInterface({ input: holder.stdout })[Symbol.asyncIterator]().next();
  if (ready.value !== "ready") throw new Error("the namespaces could not be made");
  const inside = (command: readonly string[]) => ["-t", String(holder.pid), "-n", "-m", `--wd=${root}`, ...command];
  const env = { PATH: process.env["PATH"] ?? "", HOME: "/nonexistent", LC_ALL: "C.UTF-8", NEXUS_CACHE_DIR: testCache };
  const run: Bed["run"] = (command, options = {}) => {
    const began = performance.now();
    const { status, stdout, stderr } = spawnSync(
      "nsenter",
      inside(["env", ...Object.entries(options.env ?? {}).map(([name, value]) => `${name}=${value}`), ...command]),
      { encoding: "utf8", env, timeout: 120_000, stdio: ["ignore", "pipe", "pipe"] },
    );
    return { code: status, stdout, stderr, ms: performance.now() - began };
  };
  return {
    run,
    start: (command) => spawn("nsenter", inside(command), { env, stdio: ["ignore", "pipe", "pipe"] }),
    async [Symbol.asyncDispose]() {
      run(["./nexus", "network", "reset", "--force", "--no-start"]);
      run(["./nexus", "daemon", "stop"]);
      const gone = once(holder, "close");
      holder.stdin.end("\n");
      await gone;
    },
  };
}

/** What quickstart may change on a host, as other programs see it. */
export function traces(bed: Bed): Record<string, unknown> {
  return {
    links: JSON.parse(bed.run(["ip", "-j", "link"]).stdout),
    routes: bed.run(["ip", "route", "show", "table", "all"]).stdout,
    // Its first line has the version of nft itself.
    ruleset: JSON.parse(bed.run(["nft", "-j", "list", "ruleset"]).stdout),
    namespaces: bed.run(["ls", "/run/netns"]).stdout,
    run: bed.run(["ls", "/run"]).stdout,
    state: bed.run(["ls", "/var/lib"]).stdout,
    forward: bed.run(["cat", "/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv6/conf/all/forwarding"]).stdout,
    mounts: bed.run(["sh", "-c", "grep -e netns -e nexus /proc/self/mountinfo"]).stdout,
  };
}

/** The cgroup directories a process is in: they are the host's, so other guests of other tests are in there too. */
export function groupsOf(pid: number): string[] {
  return [
    ...new Set(
      readFileSync(`/proc/${pid}/cgroup`, "utf8")
        .split("\n")
        .flatMap((line) => /^\d+:[^:]*:(\/nexus\/[^/]+)/.exec(line)?.[1] ?? []),
    ),
  ];
}
