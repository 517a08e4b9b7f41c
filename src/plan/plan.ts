import type { IfName } from "../base/names.ts";
import type { Name } from "../base/names.ts";
import { planAttachment } from "./attachment.ts";
import { peersOf } from "./firewall/elements.ts";
import { isOurGroup } from "./group.ts";
import { planNetwork, planSysctls } from "./network.ts";
import type { Observed, ObservedLink } from "./observed.ts";
import { type AttachmentRecord, namespacesOf, type NetworkRecord, type PinRecord, type PublishRecord } from "./records.ts";
import type { Step } from "./steps.ts";
import { hostSysctls } from "./sysctls.ts";

/** Everything that should be there: networks, and the attachments of guests that should run. */
export type Desired = {
  instance: string;
  networks: readonly NetworkRecord[];
  attachments: readonly AttachmentRecord[];
  publishes: readonly PublishRecord[];
  /** Dynamic: the DNS made them, and they end by themselves. */
  pins: readonly PinRecord[];
  /** A virtual machine in user mode runs. */
  userMode?: boolean;
};

export type Plan = {
  /** Before the firewall: bridges and settings. */
  networks: Step[];
  /** After it: a guest's link never comes up before the rules that hold it. */
  attachments: Step[];
  /** Last: what is ours and no longer wanted. */
  leftovers: Step[];
  /** Networks that cannot be made whole, and why; what is in the way is left alone. */
  blocked: { network: Name; problem: string }[];
};

/** Compares all that should be with all that is; a second call after the steps were done gives none. */
export function plan(desired: Desired, observed: Observed): Plan {
  const result: Plan = { networks: [], attachments: [], leftovers: [], blocked: [] };
  result.networks.push(...planSysctls(hostSysctls(desired.networks, observed.routerAdvertLinks), observed));
  const usable = new Map<Name, NetworkRecord>();
  for (const network of desired.networks) {
    const problem = foreignBridge(network, observed.links.get(network.bridge));
    if (problem !== undefined) result.blocked.push({ network: network.name, problem });
    else {
      usable.set(network.name, network);
      result.networks.push(...planNetwork(network, observed));
    }
  }
  const made = new Set<string>();
  const byGuest = Map.groupBy(desired.attachments, (a) => a.guest);
  for (const attachment of desired.attachments) {
    const network = usable.get(attachment.network);
    if (network === undefined) continue;
    const link = observed.links.get(attachment.hostInterface);
    if (link !== undefined && !isOurs(link)) {
      result.blocked.push({
        network: network.name,
        problem: `interface ${link.name} exists and is not ours, so guest ${attachment.guest} is not attached; rename or remove it`,
      });
      continue;
    }
    // The queues of a tap that is gone are dead, and come to life again only in the process that has them.
    if (link === undefined && attachment.end.kind === "tap" && !observed.tapHolders.has(attachment.hostInterface)) continue;
    const own = { networks: desired.networks, attachments: byGuest.get(attachment.guest) ?? [] };
    const steps = planAttachment(
      {
        attachment,
        network,
        primary: isPrimary(attachment, own),
        peers: peersFrom(attachment, own),
      },
      observed,
    );
    // Several attachments of one guest share its namespace.
    result.attachments.push(...steps.filter((s) => s.kind !== "create-namespace" || !made.has(s.name)));
    if (attachment.end.kind === "namespace") made.add(attachment.end.netns);
  }
  // A default route moves from one link of a guest to another: it must be gone from the first before the second can have it.
  const takesBack = (s: Step) => Number(s.kind === "configure-guest" && s.staleRoutes.length > 0);
  result.attachments.sort((a, b) => takesBack(b) - takesBack(a));
  const going = new Set([...result.networks, ...result.attachments].flatMap((s) => (s.kind === "delete-link" ? [s.name] : [])));
  result.leftovers.push(...planLeftovers(desired, observed).filter((s) => s.kind !== "delete-link" || !going.has(s.name)));
  return result;
}

/** The first attachment that leads somewhere carries the default route. */
export function isPrimary(attachment: AttachmentRecord, desired: Pick<Desired, "networks" | "attachments">): boolean {
  const internal = new Set(desired.networks.filter((n) => n.spec.internal).map((n) => n.name));
  return !desired.attachments.some((a) => a.guest === attachment.guest && a.nic < attachment.nic && !internal.has(a.network));
}

/** The peers that this link leads to: a network the guest is on itself, or reaches by an earlier link, needs no other way. */
export function peersFrom(attachment: AttachmentRecord, desired: Pick<Desired, "networks" | "attachments">): NetworkRecord[] {
  const peers = (a: AttachmentRecord) => {
    const network = desired.networks.find((n) => n.name === a.network);
    return network === undefined ? [] : peersOf(network, desired.networks);
  };
  const own = desired.attachments.filter((a) => a.guest === attachment.guest);
  const earlier = own.filter((a) => a.nic < attachment.nic);
  const reached = new Set([...own.map((a) => a.network), ...earlier.flatMap((a) => peers(a).map((p) => p.name))]);
  return peers(attachment).filter((peer) => !reached.has(peer.name));
}

/** Ours is what carries our link group or our alternative name; a name alone proves nothing. */
export function foreignBridge(network: NetworkRecord, link: ObservedLink | undefined): string | undefined {
  if (link === undefined || (link.kind === "bridge" && isOurs(link))) return undefined;
  return `interface ${link.name} exists and is not ours (${link.kind ?? "a device"}); choose another bridge name for network ${network.name}, or remove it`;
}

export function isOurs(link: Pick<ObservedLink, "group" | "altNames">): boolean {
  return isOurGroup(link.group) || link.altNames.some((name) => name.startsWith("nexus:"));
}

function planLeftovers(desired: Desired, observed: Observed): Step[] {
  const wanted = new Set<IfName>([...desired.networks.map((n) => n.bridge), ...desired.attachments.map((a) => a.hostInterface)]);
  const steps: Step[] = [];
  const namespaces = namespacesOf(desired.attachments);
  // Namespaces first: their veths go with them, at a hundredth of the price of deleting each.
  for (const name of observed.provenNamespaces) if (!namespaces.has(name)) steps.push({ kind: "remove-namespace", name });
  for (const link of observed.links.values()) {
    const proven = isOurGroup(link.group) && link.altNames.some((name) => name.startsWith("nexus:"));
    if (proven && !wanted.has(link.name))
      steps.push({
        kind: "delete-link",
        name: link.name,
        why: "belongs to nothing that should be there",
      });
  }
  return steps;
}
