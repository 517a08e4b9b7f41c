import { existsSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { cgroups, linksOf, mountPoints, namespaces, processesWith, shTry } from "../chaos/host.ts";
import type { Nexusd } from "../chaos/nexusd.ts";
import { until } from "../kernel/world/until.ts";

/** What a power cut does to this network namespace: all that lives in memory goes, the disk stays; then the daemon starts on another boot. */
export async function reboot(daemon: Nexusd): Promise<void> {
  const { stateDir } = daemon.places;
  await daemon.end("SIGKILL");
  const guests = join(stateDir, "guests");
  const ids = existsSync(guests) ? readdirSync(guests) : [];
  await until("every process is gone", () => {
    const left = [...processesWith(stateDir).keys(), ...cgroups((id) => ids.includes(id)).flatMap(processesIn)];
    for (const pid of left) kill(pid);
    return left.length === 0;
  });
  for (const id of cgroups((name) => ids.includes(name))) removeCgroup(id);
  for (const point of mountPoints()
    .filter((p) => p.startsWith(`${stateDir}/`))
    .toReversed())
    await shTry("umount", point);
  for (const name of namespaces().keys()) if (name.startsWith("nexus-")) await shTry("ip", "netns", "del", name);
  for (const link of await linksOf()) if (Number(link.group) >>> 24 === 0x4e) await shTry("ip", "link", "del", link.ifname);
  for (const family of ["inet", "bridge"]) await shTry("nft", "delete", "table", family, "nexus");
  for (const path of ["ipv4/ip_forward", "ipv6/conf/all/forwarding"]) writeFileSync(`/proc/sys/net/${path}`, "0");
  using db = new DatabaseSync(join(stateDir, "nexus.db"));
  db.exec("UPDATE meta SET boot = 'another boot'");
  await daemon.start();
}

function trees(): string[] {
  const lines = readFileSync("/proc/self/mountinfo", "utf8").split("\n");
  return lines.filter((line) => / - cgroup2? /.test(line)).map((line) => line.split(" ")[4] ?? "");
}

function groupsOf(id: string): string[] {
  return trees()
    .flatMap((tree) => [`${tree}/nexus/${id}/guest`, `${tree}/nexus/${id}`])
    .filter((path) => existsSync(path));
}

function processesIn(id: string): number[] {
  return groupsOf(id).flatMap((group) =>
    readFileSync(`${group}/cgroup.procs`, "utf8")
      .split("\n")
      .filter((line) => line !== "")
      .map(Number),
  );
}

function removeCgroup(id: string): void {
  for (const group of groupsOf(id)) rmdirSync(group);
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has ended by itself.
  }
}
