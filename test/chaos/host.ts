import { execFile } from "node:child_process";
import { lstatSync, readdirSync, readFileSync, readlinkSync, statSync } from "node:fs";
import { promisify } from "node:util";

/** What the host is like, as programs other than Nexus see it. */

const run = promisify(execFile);

export type HostLink = {
  ifname: string;
  group: string;
  mtu: number;
  address: string;
  flags: string[];
  master?: string;
  altnames?: string[];
  linkinfo?: { info_kind?: string; info_slave_data?: { isolated?: boolean; hairpin?: boolean } };
  addr_info: { family: string; local: string; prefixlen: number; scope: string }[];
};

export type HostRoute = { dst: string; dev: string; gateway?: string; type?: string; protocol?: string };

/** Links with their addresses, in a namespace below /run/netns or in ours. */
export async function linksOf(netns?: string): Promise<HostLink[]> {
  // `ip addr` gives no port attributes and `ip link` no addresses.
  const [addresses, links] = await Promise.all([ipJson<HostLink>(netns, ["-d", "addr"]), ipJson<HostLink>(netns, ["-d", "link"])]);
  return links.map((link) => ({ ...link, addr_info: addresses.find((a) => a.ifname === link.ifname)?.addr_info ?? [] }));
}

/** Routes somebody made, without those that follow from addresses. */
export async function routesOf(netns?: string): Promise<HostRoute[]> {
  const routes = await ipJson<HostRoute>(netns, ["route", "show", "table", "all"]);
  return routes.filter((route) => route.protocol !== "kernel");
}

export type Ruleset = Record<string, Record<string, unknown>>[];

export async function ruleset(): Promise<Ruleset> {
  const { stdout } = await run("nft", ["-j", "list", "ruleset"], { maxBuffer: 64 * 1024 * 1024 });
  return (JSON.parse(stdout) as { nftables: Ruleset }).nftables;
}

/** Files below /run/netns, and of these how often a namespace is mounted on each. */
export function namespaces(): Map<string, number> {
  const mounted = mountPoints();
  let files: string[] = [];
  try {
    files = readdirSync("/run/netns");
  } catch {
    // Nobody made the directory yet.
  }
  return new Map(files.map((name) => [name, mounted.filter((point) => point === `/run/netns/${name}`).length]));
}

export function mountPoints(): string[] {
  return readFileSync("/proc/self/mountinfo", "utf8")
    .trim()
    .split("\n")
    .map((line) => line.split(" ")[4] ?? "");
}

/** Groups directly below /nexus in any cgroup tree, whose names are given to `isOurs`. */
export function cgroups(isOurs: (name: string) => boolean): string[] {
  const trees = new Set(
    readFileSync("/proc/self/mountinfo", "utf8")
      .split("\n")
      .filter((line) => / - cgroup2? /.test(line))
      .map((line) => line.split(" ")[4] ?? ""),
  );
  const names = [...trees].flatMap((tree) => directories(`${tree}/nexus`));
  return [...new Set(names.filter(isOurs))].toSorted();
}

/** Processes whose command line has the text, by pid. */
export function processesWith(text: string): Map<number, string> {
  const found = new Map<number, string>();
  for (const entry of readdirSync("/proc")) {
    if (!/^\d+$/.test(entry) || Number(entry) === process.pid) continue;
    try {
      const line = readFileSync(`/proc/${entry}/cmdline`, "utf8").replaceAll("\0", " ").trim();
      if (line.includes(text)) found.set(Number(entry), line);
    } catch {
      // It ended meanwhile.
    }
  }
  return found;
}

/** What a process has open, each as the kernel calls it. */
export function openFiles(pid: number): string[] {
  return readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/${pid}/fd/${fd}`)];
    } catch {
      return [];
    }
  });
}

/** The same number for a process and the namespace file it lives in. */
export function namespaceOf(path: string): number | undefined {
  try {
    return statSync(path).ino;
  } catch {
    return undefined;
  }
}

export function isAlive(pid: number): boolean {
  try {
    return !/^\d+ \(.*\) [ZX]/s.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return false;
  }
}

/** Every value below /proc/sys/net that a program may change, but for links that come and go. */
export function sysctls(): Record<string, string> {
  const names = [
    "ipv4/ip_forward",
    "ipv4/conf/all/forwarding",
    "ipv6/conf/all/forwarding",
    "ipv4/conf/default/forwarding",
    "ipv6/conf/default/forwarding",
    "ipv4/conf/all/route_localnet",
    "ipv4/conf/lo/route_localnet",
    "ipv4/conf/all/rp_filter",
    "bridge/bridge-nf-call-iptables",
    "bridge/bridge-nf-call-ip6tables",
  ];
  return Object.fromEntries(
    names.flatMap((name) => {
      try {
        return [[name, readFileSync(`/proc/sys/net/${name}`, "utf8").trim()]];
      } catch {
        return [];
      }
    }),
  );
}

/** @throws with what the program said */
export async function sh(program: string, ...args: string[]): Promise<string> {
  return (await run(program, args)).stdout;
}

/** As sh; a program that fails is no fault: what it was to do away with may be gone already. */
export async function shTry(program: string, ...args: string[]): Promise<boolean> {
  return await run(program, args).then(
    () => true,
    () => false,
  );
}

async function ipJson<T>(netns: string | undefined, args: string[]): Promise<T[]> {
  const { stdout } = await run("ip", [...(netns === undefined ? [] : ["-n", netns]), "-j", ...args], { maxBuffer: 64 * 1024 * 1024 });
  return stdout.trim() === "" ? [] : (JSON.parse(stdout) as T[]);
}

function directories(path: string): string[] {
  try {
    return readdirSync(path).filter((name) => lstatSync(`${path}/${name}`).isDirectory());
  } catch {
    return [];
  }
}
