import { type Ip, ipFamily, isUnspecified, isIpv4 } from "../../base/ip.ts";
import { linkLocalOf } from "../../base/mac.ts";
import { ipFromBigint } from "../../base/ip.ts";
import { type Prefix, prefixFamily, prefixRange } from "../../base/prefix.ts";
import type { Element, Family, KeyPart } from "../../wire/nftables/model.ts";
import type { AttachmentRecord, NetworkRecord, PublishRecord } from "../records.ts";
import { restricts } from "../egress.ts";
import { counterName } from "./inet-table.ts";

export type SetElement = { family: Family; table: "nexus"; set: string; element: Element };

/** What one network adds to the sets; `all` is needed for its peers. */
export function networkElements(network: NetworkRecord, all: readonly NetworkRecord[]): SetElement[] {
  const out: SetElement[] = [];
  const { spec, bridge } = network;
  const comment = `network ${network.name}`;
  const inet = (set: string, key: KeyPart[], data?: Element["data"]) =>
    out.push(element("inet", set, { key, comment, ...(data === undefined ? {} : { data }) }));
  for (const subnet of network.subnets) {
    const suffix = prefixFamily(subnet.prefix);
    const range = keyRange(subnet.prefix);
    inet(`ours${suffix}`, [range]);
    if (spec.nat && !spec.internal) inet(`nat${suffix}`, [range]);
    if (spec.nat || spec.internal) inet(`guarded${suffix}`, [range]);
    if (!spec.internal) inet(`hairpin${suffix}`, [range, range]);
  }
  for (const reachable of [network, ...peersOf(network, all)]) {
    for (const subnet of reachable.subnets) inet(`gateway${prefixFamily(subnet.prefix)}`, [bridge, subnet.gateway]);
    if (reachable !== network) inet("peers", [bridge, reachable.bridge]);
  }
  inet(spec.isolation === "none" ? "peers" : "apart", [bridge, bridge]);
  if (spec.internal) inet("internal", [bridge]);
  if (restricts(spec.egress)) inet("egress", [bridge]);
  inet("count_out", [bridge], { counter: counterName(network, "out") });
  inet("count_in", [bridge], { counter: counterName(network, "in") });
  return out;
}

/** Peering holds in both directions, whichever of the two asks for it. */
export function peersOf(network: NetworkRecord, all: readonly NetworkRecord[]): NetworkRecord[] {
  return all.filter(
    (other) => other.name !== network.name && (network.spec.peers.includes(other.name) || other.spec.peers.includes(network.name)),
  );
}

export function attachmentElements(attachment: AttachmentRecord): SetElement[] {
  const { hostInterface, mac } = attachment;
  const comment = `guest ${attachment.guest}`;
  const out = [element("bridge", "mac", { key: [hostInterface, mac], comment })];
  for (const address of attachment.addresses) {
    const set = `source${ipFamily(address)}`;
    out.push(element("bridge", set, { key: [hostInterface, mac, address], comment }));
  }
  if (attachment.addresses.some((a) => !isIpv4(a)))
    out.push(element("bridge", "source6", { key: [hostInterface, mac, linkLocalOf(mac)], comment }));
  if (restricts(attachment.egress))
    for (const address of [...attachment.addresses, linkLocalOf(mac)])
      out.push(element("inet", `egress${ipFamily(address)}`, { key: [address], comment }));
  return out;
}

/** None for ::1, from which the kernel routes nothing: the daemon carries those itself. One element for a port or an equal-numbered range; a shifted range needs one for each port, which costs the packet nothing. */
export function publishElements(publish: PublishRecord): SetElement[] {
  if (publish.hostAddress === "::1") return [];
  return publish.targets
    .filter((target) => publish.hostAddress === undefined || ipFamily(publish.hostAddress) === ipFamily(target))
    .flatMap((target) => publishTo(publish, target));
}

function publishTo(publish: PublishRecord, target: Ip): SetElement[] {
  const suffix = ipFamily(target);
  const protocol = publish.protocol === "tcp" ? 6 : 17;
  // No packet is addressed to the unspecified address: it means every one of its family.
  const any = publish.hostAddress === undefined || isUnspecified(publish.hostAddress);
  const at: KeyPart[] = any ? [] : [publish.hostAddress as Ip];
  const name = any ? "publish" : "publish_at";
  const comment = `guest ${publish.guest}`;
  const last = publish.hostPortEnd ?? publish.hostPort;
  if (last > publish.hostPort && publish.guestPort === publish.hostPort) {
    const key = [...at, protocol, { from: publish.hostPort, to: last }];
    return [element("inet", `${name}_range${suffix}`, { key, data: { values: [target] }, comment })];
  }
  const out: SetElement[] = [];
  for (let port: number = publish.hostPort; port <= last; port++) {
    const guestPort = publish.guestPort + (port - publish.hostPort);
    out.push(element("inet", `${name}${suffix}`, { key: [...at, protocol, port], data: { values: [target, guestPort] }, comment }));
  }
  return out;
}

function element(family: Family, set: string, value: Element): SetElement {
  return { family, table: "nexus", set, element: value };
}

function keyRange(prefix: Prefix): KeyPart {
  const { first, last } = prefixRange(prefix);
  const family = prefixFamily(prefix);
  return { from: ipFromBigint(family, first), to: ipFromBigint(family, last) };
}
