import type { Ip } from "../base/ip.ts";
import { ipFamily } from "../base/ip.ts";
import { guestInterface } from "../base/names.ts";
import type { Cidr } from "../base/prefix.ts";
import type { VmPlan } from "./qemu-plan.ts";

/**
 * A kernel's command line: the image's words, those that tell a guest without DHCP its addresses (`ip=` as in
 * Documentation/admin-guide/nfs/nfsroot.rst, and `nexus.…` for what that has no words for), and last the user's, which win.
 */
export function kernelWords(plan: VmPlan, base: string): string {
  const words = [base, `nexus.hostname=${plan.hostname}`];
  plan.nics.forEach((nic, i) => words.push(...nicWords(nic, i)));
  if (plan.nics.length > 0) {
    if (plan.nameservers.length > 0) words.push(`nexus.dns=${plan.nameservers.join(",")}`);
    if (plan.searchDomains.length > 0) words.push(`nexus.search=${plan.searchDomains.join(",")}`);
  }
  if (plan.spec.cmdline !== undefined) words.push(plan.spec.cmdline);
  return words.filter((word) => word !== "").join(" ");
}

function nicWords(nic: { addresses: readonly Cidr[]; gateways: readonly Ip[] }, number: number): string[] {
  const device = guestInterface(number);
  const gateway = (family: 4 | 6): string => nic.gateways.find((one) => ipFamily(one) === family) ?? "";
  return nic.addresses.map((cidr) => {
    const [address, bits] = cidr.split("/") as [Ip, string];
    if (ipFamily(address) === 6) return `nexus.ip6=${device},${cidr},${gateway(6)}`;
    return `ip=${address}::${gateway(4)}:${netmask(Number(bits))}::${device}:none`;
  });
}

function netmask(bits: number): string {
  const mask = bits === 0 ? 0 : (0xffffffff << (32 - bits)) >>> 0;
  return [24, 16, 8, 0].map((shift) => (mask >>> shift) & 255).join(".");
}
