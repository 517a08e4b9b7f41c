import { NexusError } from "../base/errors.ts";
import { testPort } from "../kernel/port-test.ts";
import { portHolder } from "../services/dns/port-holder.ts";
import type { PublishSpec } from "../spec/node.ts";
import { parseIp } from "../base/ip.ts";

/**
 * Which program of the host listens on a port that is to be published; a publish would take its callers away.
 * @throws NexusError address-outside when the host has no such address
 */
export function listenerOn(publish: PublishSpec): string | undefined {
  for (let port: number = publish.hostPort; port <= (publish.hostPortEnd ?? publish.hostPort); port++) {
    const found = testPort(publish.protocol, port, publish.hostAddress);
    if (found === "no-such-address") {
      throw new NexusError("address-outside", `no interface of this host has the address ${publish.hostAddress}`, {
        hint: "leave the address out to publish on all of them",
      });
    }
    if (found === "free") continue;
    const holder = holderOf(publish, port);
    // Our own DNS listens on gateways; a published port 53 leaves those alone.
    if (holder === undefined || !holder.endsWith(`(pid ${process.pid})`)) return holder ?? "another program";
  }
  return undefined;
}

function holderOf(publish: PublishSpec, port: number): string | undefined {
  const addresses = publish.hostAddress === undefined ? ["0.0.0.0", "::"].flatMap((text) => parseIp(text) ?? []) : [publish.hostAddress];
  return addresses.map((address) => portHolder(address, port, publish.protocol)).find((holder) => holder !== undefined);
}
