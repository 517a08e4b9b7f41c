import { join } from "node:path";
import type { GuestPlan } from "../guests/driver.ts";
import type { Container } from "./kinds.ts";
import type { Volumes } from "./volumes.ts";
import { attachmentsOf, type World } from "./world.ts";

export type PlanFacts = { world: World; domain: string; guestsDirectory: string; netns: string; volumes: Volumes };

/** What the driver is given: the guest's names, resolvers and places. */
export function planOf(guest: Container, facts: PlanFacts): GuestPlan {
  const { world, domain } = facts;
  const attachments = attachmentsOf(guest);
  const gateways = attachments.flatMap((a) => (world.networks.get(a.network)?.subnets ?? []).map((s) => s.gateway));
  const hostname = guest.spec.hostname ?? guest.name;
  return {
    id: guest.id,
    name: guest.name,
    spec: guest.spec,
    netns: facts.netns,
    volumes: guest.spec.volumes.map((volume) => ({ ...volume, source: facts.volumes.placeOf(volume.source, "directory") })),
    directory: join(facts.guestsDirectory, guest.id),
    hostname,
    // resolv.conf takes three; the first network's come first.
    nameservers: (guest.spec.dns ?? gateways).slice(0, 3),
    searchDomains: attachments.map((a) => `${a.network}.${domain}`),
    hosts: attachments.flatMap((a) =>
      a.addresses.map((address) => ({
        address,
        names: [`${guest.name}.${a.network}.${domain}`, guest.name, ...(hostname === guest.name ? [] : [hostname])],
      })),
    ),
  };
}
