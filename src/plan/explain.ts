import { unreachable } from "../base/exhaustive.ts";
import { ipFamily } from "../base/ip.ts";
import { networkOf, prefixAddress, prefixFamily } from "../base/prefix.ts";
import { renderChange } from "../wire/nftables/render.ts";
import { judgedGroups, type LinkWish, type Step } from "./steps.ts";

/** A step as the `ip`, `sysctl` and `nft` commands that would do the same: what `nexus plan` prints. */
export function explain(step: Step): string[] {
  switch (step.kind) {
    case "create-bridge":
      return [
        `ip link add ${step.name} address ${step.mac} mtu ${step.mtuBytes} group ${step.group} up type bridge stp_state 0 forward_delay 0`,
        `ip link property add dev ${step.name} altname ${step.altName}`,
      ];
    case "change-link":
      return [`ip link set dev ${step.name} ${linkWords(step.change)}`];
    case "add-alt-name":
      return [`ip link property add dev ${step.link} altname ${step.altName}`];
    case "delete-link":
      return [`ip link delete dev ${step.name}  # ${step.why}`];
    case "add-address":
      return [`ip address add ${step.cidr} dev ${step.link}${step.cidr.includes(":") ? " nodad" : ""}`];
    case "remove-address":
      return [`ip address delete ${step.cidr} dev ${step.link}`];
    case "add-route":
      return [
        `ip route add ${networkOf(step.cidr)} dev ${step.link} protocol kernel ${prefixFamily(step.cidr) === 4 ? `src ${prefixAddress(step.cidr)}` : "metric 256"}`,
      ];
    case "create-namespace":
      return [step.ofPid === undefined ? `ip netns add ${step.name}` : `ip netns attach ${step.name} ${step.ofPid}`];
    case "remove-namespace":
      return [`ip netns delete ${step.name}`];
    case "create-veth":
      return [
        `ip link add ${step.name} address ${step.mac} mtu ${step.mtuBytes} group ${step.group} master ${step.master} up type veth peer name ${step.guestName} address ${step.guestMac} mtu ${step.mtuBytes} group ${step.group} netns ${step.netns}`,
        `ip link set dev ${step.name} addrgenmode none`,
        `ip link property add dev ${step.name} altname ${step.altName}`,
        `bridge link set dev ${step.name} hairpin on isolated ${step.isolated ? "on" : "off"}`,
        judged(step.name),
      ];
    case "create-tap":
      return [
        `ip tuntap add dev ${step.name} mode tap vnet_hdr${step.queues > 1 ? " multi_queue" : ""}`,
        `ip link set dev ${step.name} address ${step.mac} mtu ${step.mtuBytes} group ${step.group} master ${step.master} addrgenmode none up`,
        `ip link property add dev ${step.name} altname ${step.altName}`,
        `bridge link set dev ${step.name} hairpin on isolated ${step.isolated ? "on" : "off"}`,
        judged(step.name),
      ];
    case "configure-guest":
      return guestLines(step);
    case "set-port":
      return [
        `bridge link set dev ${step.link} hairpin ${step.hairpin ? "on" : "off"} isolated ${step.isolated ? "on" : "off"} learning on flood on mcast_flood on bcast_flood on neigh_suppress off`,
        judged(step.link),
      ];
    case "set-sysctl":
      return [
        `sysctl -w ${step.path.map((part) => part.replaceAll(".", "/")).join(".")}=${step.value}${step.was === undefined ? "" : `  # was ${step.was}`}`,
      ];
    case "firewall":
      return step.changes.flatMap(renderChange);
    case "forget-flows":
      return step.prefixes.flatMap((prefix) => [`conntrack -D -s ${prefix}`, `conntrack -D -d ${prefix}`, `conntrack -D -r ${prefix}`]);
    case "forget-departures":
      return step.sources.map(
        (source) => `conntrack -D -s ${source}${step.kept.some((pin) => pin.source === source) ? "  # but for what stays pinned" : ""}`,
      );
    case "forget-connections":
      return [
        `conntrack -D -p ${step.protocol} --orig-port-dst ${step.from}${step.to === step.from ? "" : `-${step.to}`}${step.hostAddress === undefined ? "" : ` --orig-dst ${step.hostAddress}`}`,
      ];
    default:
      return unreachable(step);
  }
}

function judged(port: string): string {
  return `ip link set dev ${port} type bridge_slave group_fwd_mask 0x${judgedGroups.toString(16)}`;
}

function guestLines(step: Extract<Step, { kind: "configure-guest" }>): string[] {
  const ip = `ip -n ${step.netns}`;
  return [
    `${ip} link set dev lo up`,
    `${ip} link set dev ${step.link} address ${step.mac} mtu ${step.mtuBytes}${step.ipv6 ? "" : " addrgenmode none"}`,
    `${ip} link set dev ${step.link} up`,
    ...step.addresses.map((cidr) => `${ip} address add ${cidr} dev ${step.link}${cidr.includes(":") ? " nodad" : ""}`),
    ...step.gateways.map(
      (gateway) => `${ip} ${ipFamily(gateway) === 6 ? "-6 " : ""}route add default via ${gateway} dev ${step.link} protocol 78`,
    ),
    ...step.routes.map((route) => `${ip} route add ${route.destination} via ${route.via} dev ${step.link} protocol 78`),
    ...step.staleRoutes.map((route) => `${ip} route delete ${route.destination} via ${route.via} dev ${step.link}`),
  ];
}

function linkWords(change: LinkWish): string {
  const words: string[] = [];
  if (change.mtuBytes !== undefined) words.push(`mtu ${change.mtuBytes}`);
  if (change.mac !== undefined) words.push(`address ${change.mac}`);
  if (change.group !== undefined) words.push(`group ${change.group}`);
  if (change.master !== undefined) words.push(`master ${change.master}`);
  if (change.up !== undefined) words.push(change.up ? "up" : "down");
  return words.join(" ");
}
