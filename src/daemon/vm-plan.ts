import { join } from "node:path";
import type { Machine } from "./kinds.ts";
import type { Volumes } from "./volumes.ts";
import { attachmentsOf, type World } from "./world.ts";
import type { VmPlan } from "../guests/qemu-plan.ts";
import { attachmentCidrs, attachmentGateways } from "../plan/attachment.ts";
import { nicMac } from "../plan/naming.ts";
import { mtuOf } from "../plan/network.ts";
import { type SetupFacts, setupTexts } from "./vm-setup.ts";
import { isPrimary } from "../plan/plan.ts";

export type VmFacts = { world: World; domain: string; guestsDirectory: string; uplinkMtuBytes: number; vhost: boolean; volumes: Volumes };

/** What the driver is given: a plan, and how the guest is told what it is to become. */
export function vmPlanOf(guest: Machine, facts: VmFacts): VmPlan {
  const setupFacts = vmSetupFacts(guest, facts);
  const setup = setupTexts(guest, setupFacts);
  return { ...setupFacts.plan, ...(setup === undefined ? {} : { setup }) };
}

export function vmSetupFacts(guest: Machine, facts: VmFacts): SetupFacts {
  const dhcp = attachmentsOf(guest).map((attachment) => facts.world.networks.get(attachment.network)?.spec.dhcp ?? false);
  return { plan: barePlan(guest, facts), dhcp };
}

/** The virtual machine's cards with the addresses it will have, its names, its places. Taps are named; who starts it hands over their queues. */
function barePlan(guest: Machine, facts: VmFacts): SetupFacts["plan"] {
  const { world, domain, vhost, volumes } = facts;
  const attachments = attachmentsOf(guest);
  const desired = { networks: [...world.networks.values()], attachments };
  const nics = attachments.flatMap((attachment) => {
    const network = world.networks.get(attachment.network);
    if (network === undefined) return [];
    return [
      {
        number: attachment.nic,
        tap: { kind: "link", name: attachment.hostInterface, queues: guest.spec.queues } as const,
        mac: attachment.mac,
        mtuBytes: mtuOf(network, facts),
        addresses: attachmentCidrs(attachment, network),
        gateways: attachmentGateways({ attachment, network, primary: isPrimary(attachment, desired) }),
        vhost,
      },
    ];
  });
  const resolvers = attachments.flatMap((a) => (world.networks.get(a.network)?.subnets ?? []).map((s) => s.gateway));
  return {
    id: guest.id,
    name: guest.name,
    spec: { ...guest.spec, disks: guest.spec.disks.map((disk) => ({ ...disk, source: volumes.placeOf(disk.source, "disk") })) },
    directory: join(facts.guestsDirectory, guest.id),
    nics,
    userMac: nicMac(world.instance, { id: guest.id, index: 0 }),
    hostname: guest.spec.hostname ?? guest.name,
    // resolv.conf takes three; the first network's come first.
    nameservers: (guest.spec.dns ?? resolvers).slice(0, 3),
    searchDomains: attachments.map((a) => `${a.network}.${domain}`),
  };
}
