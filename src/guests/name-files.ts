import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Ip } from "../base/ip.ts";
import type { GuestPlan } from "./driver.ts";

/** The files by which a guest knows its own name and finds others: made outside its root file system and bound over it. */
export const nameFiles = ["hosts", "hostname", "resolv.conf"] as const;

export function writeNameFiles(directory: string, plan: Pick<GuestPlan, "hostname" | "hosts" | "nameservers" | "searchDomains">): void {
  mkdirSync(directory, { recursive: true, mode: 0o755 });
  writeInPlace(join(directory, "hosts"), hostsText(plan));
  writeInPlace(join(directory, "hostname"), `${plan.hostname}\n`);
  writeNameservers(directory, plan);
}

/** Rewrites resolv.conf in place: a file bound into a guest keeps its inode, so a running guest sees it at once. */
export function writeNameservers(directory: string, plan: { nameservers: readonly Ip[]; searchDomains: readonly string[] }): void {
  writeInPlace(join(directory, "resolv.conf"), resolvText(plan));
}

function hostsText(plan: Pick<GuestPlan, "hosts">): string {
  const lines = [
    { address: "127.0.0.1", names: ["localhost"] },
    { address: "::1", names: ["localhost", "ip6-localhost", "ip6-loopback"] },
    ...plan.hosts,
  ];
  return lines.map((line) => `${line.address}\t${line.names.join(" ")}\n`).join("");
}

/** resolv.conf(5): the C library reads three name servers and no more. */
function resolvText(plan: { nameservers: readonly Ip[]; searchDomains: readonly string[] }): string {
  const search = plan.searchDomains.length === 0 ? "" : `search ${plan.searchDomains.join(" ")}\n`;
  return (
    search +
    plan.nameservers
      .slice(0, 3)
      .map((address) => `nameserver ${address}\n`)
      .join("")
  );
}

function writeInPlace(path: string, text: string): void {
  writeFileSync(path, text, { mode: 0o644 });
}
