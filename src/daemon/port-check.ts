import { NexusError } from "../base/errors.ts";
import { testPort } from "../kernel/port-test.ts";
import { readSysctl } from "../kernel/sysctl.ts";
import { portHolder, portsInUse } from "../services/dns/port-holder.ts";
import type { PublishSpec } from "../spec/node.ts";
import { parseIp } from "../base/ip.ts";

/**
 * Which program of the host listens on a port that is to be published; a publish would take its callers away.
 * @throws NexusError address-outside when the host has no such address, not-permitted for a port only root may take
 */
export function listenerOn(publish: PublishSpec): string | undefined {
  for (const port of portsToTry(publish)) {
    const found = testPort(publish.protocol, port, publish.hostAddress);
    if (found === "no-such-address") {
      throw new NexusError("address-outside", `no interface of this host has the address ${publish.hostAddress}`, {
        hint: "leave the address out to publish on all of them",
      });
    }
    if (found === "not-permitted") throw lowPort(publish.protocol, port);
    if (found === "free") continue;
    const holder = holderOf(publish, port);
    // Our own DNS listens on gateways; a published port 53 leaves those alone.
    if (holder === undefined || !holder.endsWith(`(pid ${process.pid})`)) return holder ?? "another program";
  }
  return undefined;
}

function lowPort(protocol: string, port: number): NexusError {
  const floor = readSysctl(["net", "ipv4", "ip_unprivileged_port_start"]) ?? "1024";
  return new NexusError("not-permitted", `${protocol} port ${port} of the host is root's: users may take those from ${floor} up`, {
    hint: `choose a higher host port, or lower the bound: sudo sysctl net.ipv4.ip_unprivileged_port_start=${port}`,
    details: { port },
  });
}

/** Each port of a short range; of a long one the first, for the address's sake, and those that /proc shows in use. */
function portsToTry({ hostPort, hostPortEnd = hostPort, protocol }: PublishSpec): number[] {
  const count = hostPortEnd - hostPort + 1;
  if (count <= mostTried) return Array.from({ length: count }, (_, n) => hostPort + n);
  const inUse = [...portsInUse(protocol)].filter((port) => port > hostPort && port <= hostPortEnd);
  return [hostPort, ...inUse.toSorted((a, b) => a - b)];
}

/** A trial takes 40 µs, so that 50,000 of them would hold the daemon up for two seconds. */
const mostTried = 16;

function holderOf(publish: PublishSpec, port: number): string | undefined {
  const addresses = publish.hostAddress === undefined ? ["0.0.0.0", "::"].flatMap((text) => parseIp(text) ?? []) : [publish.hostAddress];
  return addresses.map((address) => portHolder(address, port, publish.protocol)).find((holder) => holder !== undefined);
}
