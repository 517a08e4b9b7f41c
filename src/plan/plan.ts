import type { IfName } from "../base/names.ts";
import type { Name } from "../base/names.ts";
import { planAttachment } from "./attachment.ts";
import { peersOf } from "./firewall/elements.ts";
import { isOurGroup } from "./group.ts";
import { planNetwork, planSysctls } from "./network.ts";
import type { Observed, ObservedLink } from "./observed.ts";
import type { AttachmentRecord, NetworkRecord, PublishRecord } from "./records.ts";
import type { Step } from "./steps.ts";
import { hostSysctls } from "./sysctls.ts";

/** Everything that should be there: networks, and the attachments of guests that should run. */
export type Desired = {
  instance: string;
  networks: readonly NetworkRecord[];
  attachments: readonly AttachmentRecord[];
  publishes: readonly PublishRecord[];
  /** Namespaces of guests that should not run now: whatever bears these names was made for them. */
  dormant: readonly string[];
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
    const steps = planAttachment(
      { attachment, network, primary: isPrimary(attachment, desired), peers: peersOf(network, desired.networks) },
      observed,
    );
    // Several attachments of one guest share its namespace.
    result.attachments.push(...steps.filter((s) => s.kind !== "create-namespace" || !made.has(s.name)));
    made.add(attachment.netns);
  }
  const going = new Set([...result.networks, ...result.attachments].flatMap((s) => (s.kind === "delete-link" ? [s.name] : [])));
  result.leftovers.push(...planLeftovers(desired, observed).filter((s) => s.kind !== "delete-link" || !going.has(s.name)));
  return result;
}

/** The first attachment that leads somewhere carries the default route. */
export function isPrimary(attachment: AttachmentRecord, desired: Pick<Desired, "networks" | "attachments">): boolean {
  const internal = new Set(desired.networks.filter((n) => n.spec.internal).map((n) => n.name));
  return !desired.attachments.some((a) => a.guest === attachment.guest && a.nic < attachment.nic && !internal.has(a.network));
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
  const namespaces = new Set(desired.attachments.map((a) => a.netns));
  // Namespaces first: their veths go with them, at a hundredth of the price of deleting each.
  const ours = new Set([...observed.provenNamespaces, ...desired.dormant.filter((name) => observed.namespaces.has(name))]);
  for (const name of ours) if (!namespaces.has(name)) steps.push({ kind: "remove-namespace", name });
  for (const link of observed.links.values()) {
    const proven = isOurGroup(link.group) && link.altNames.some((name) => name.startsWith("nexus:"));
    if (proven && !wanted.has(link.name))
      steps.push({ kind: "delete-link", name: link.name, why: "belongs to nothing that should be there" });
  }
  return steps;
}
