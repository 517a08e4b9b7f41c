import { ipFamily } from "../base/ip.ts";
import { guestInterface } from "../base/names.ts";
import { attachmentCidrs, attachmentGateways } from "../plan/attachment.ts";
import { groupOf } from "../plan/group.ts";
import { mtuOf } from "../plan/network.ts";
import { isPrimary } from "../plan/plan.ts";
import { peersOf } from "../plan/firewall/elements.ts";
import { namespacesOf } from "../plan/records.ts";
import type { AttachmentView, GuestView, HealthView, SetupView, LeaseView, NetworkView } from "../spec/views.ts";
import type { GuestRecord, NetworkRow } from "../state/rows.ts";
import type { RunningNode, RunningVm } from "./kinds.ts";
import { attachmentsOf, type World } from "./world.ts";

/** Records as the API shows them. */

export type NetworkFacts = {
  uplinkMtuBytes: number;
  problem: string | undefined;
  counters: { packets: number; bytes: number } | undefined;
};

export function networkView(network: NetworkRow, world: World, facts: NetworkFacts): NetworkView {
  const { spec } = network;
  const pools = world.pools.get(network.name) ?? [];
  return {
    name: network.name,
    bridge: network.bridge,
    group: groupOf(network.index),
    mac: network.mac,
    subnets: pools.map((pool) => ({
      prefix: pool.prefix,
      gateway: pool.gateway,
      reserved: [...pool.reserved],
      leased: pool.leased,
      size: pool.size,
    })),
    mtuBytes: mtuOf(network, facts),
    mtu: spec.mtu,
    dns: spec.dns,
    nat: spec.nat,
    isolation: spec.isolation,
    internal: spec.internal,
    dhcp: spec.dhcp,
    peers: peersOf(network, [...world.networks.values()]).map((n) => n.name),
    ...(spec.egress === undefined ? {} : { egress: spec.egress }),
    state: facts.problem === undefined ? "up" : "degraded",
    ...(facts.problem === undefined ? {} : { problem: facts.problem }),
    leases: leasesOf(network, world),
    ...(facts.counters === undefined ? {} : { counters: facts.counters }),
    createdAt: new Date(network.createdAt).toISOString(),
    labels: spec.labels,
    spec,
  };
}

export type GuestFacts = {
  uplinkMtuBytes: number;
  running: RunningNode | RunningVm | undefined;
  health: HealthView | undefined;
  setup: SetupView | undefined;
  sshUser: string | undefined;
  netnsDirectory: string;
};

export function guestView(guest: GuestRecord, world: World, facts: GuestFacts): GuestView {
  const live = world.live.has(guest.name);
  const attachments = attachmentsOf(guest);
  const [netns] = namespacesOf(attachments);
  const asked = guest.kind === "netns" ? {} : { image: guest.spec.image, spec: guest.spec };
  return {
    name: guest.name,
    kind: guest.kind,
    state: guest.kind === "netns" ? (live ? "running" : "stopped") : guest.state,
    createdAt: new Date(guest.createdAt).toISOString(),
    restarts: guest.restarts,
    attachments: attachments.map((a) => attachmentView(guest, a.nic, world, facts)),
    publish: guest.publishes,
    ...asked,
    ...(facts.health === undefined ? {} : { health: facts.health }),
    ...(facts.setup === undefined ? {} : { setup: facts.setup }),
    ...(facts.sshUser === undefined ? {} : { sshUser: facts.sshUser }),
    ...(guest.runtime === undefined ? {} : { runtime: guest.runtime }),
    ...(guest.startedAt === undefined ? {} : { startedAt: new Date(guest.startedAt).toISOString() }),
    ...(guest.exit === undefined ? {} : { exit: guest.exit }),
    ...(guest.problem === undefined ? {} : { problem: guest.problem }),
    ...(live && netns !== undefined ? { netns: `${facts.netnsDirectory}/${netns}` } : {}),
    ...(facts.running === undefined ? {} : runningView(facts.running)),
  };
}

function runningView(running: RunningNode | RunningVm): Partial<GuestView> {
  if ("limits" in running) return { pid: running.pid, limits: running.limits };
  const { pid, accel, sshPort, user } = running;
  return { pid, acceleration: accel, ...(user === undefined ? {} : { runsAs: user }), ...(sshPort === undefined ? {} : { sshPort }) };
}

function attachmentView(guest: GuestRecord, nic: number, world: World, facts: GuestFacts): AttachmentView {
  const attachments = attachmentsOf(guest);
  const attachment = attachments.find((one) => one.nic === nic);
  const network = attachment === undefined ? undefined : world.networks.get(attachment.network);
  if (attachment === undefined || network === undefined) throw new TypeError(`guest ${guest.name} has no attachment ${nic}`);
  const desired = { networks: [...world.networks.values()], attachments };
  return {
    network: network.name,
    nic: guestInterface(nic),
    hostInterface: attachment.hostInterface,
    mac: attachment.mac,
    addresses: attachmentCidrs(attachment, network),
    gateways: attachmentGateways({ attachment, network, primary: isPrimary(attachment, desired) }),
    mtuBytes: mtuOf(network, facts),
  };
}

function leasesOf(network: NetworkRow, world: World): LeaseView[] {
  const leases = [...world.guests.values()].flatMap((guest) =>
    guest.leases
      .filter((lease) => lease.network === network.name)
      .flatMap((lease): LeaseView[] => {
        const mac = guest.attachments.find((a) => a.nic === lease.nic)?.mac;
        return mac === undefined
          ? []
          : [
              {
                address: lease.address,
                guest: guest.name,
                nic: guestInterface(lease.nic),
                mac,
                since: new Date(lease.since).toISOString(),
              },
            ];
      }),
  );
  return leases.toSorted((a, b) => ipFamily(a.address) - ipFamily(b.address) || (a.address < b.address ? -1 : 1));
}
