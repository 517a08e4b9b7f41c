import { z } from "zod";
import { compareIp, type Ip, ipFamily } from "../base/ip.ts";
import type { Prefix } from "../base/prefix.ts";
import { egressWish, keptEgress } from "./egress-wish.ts";
import { labelSet } from "./labels.ts";
import { ifNameText, ipText, nameText, prefixText } from "./text.ts";

/** One address range of a network. */
export const networkPrefix = z.strictObject({
  prefix: prefixText,
  /** Defaults to the first address of the prefix. */
  gateway: ipText.optional(),
  /** Parts of the prefix that no guest gets, not even on request: for what numbers itself on the bridge. */
  reserved: z.array(prefixText).max(64).optional(),
  /** First and last address that virtual machines get unless they ask for another: .10 to .250 of an IPv4 range of 256 or more. */
  dhcpRange: z
    .strictObject({ from: ipText, to: ipText })
    .refine(
      ({ from, to }) => ipFamily(from) === ipFamily(to) && compareIp(from, to) <= 0,
      "the range must go from an address to the same or a higher one",
    )
    .optional(),
});

/** What a user asks of a network. Every field but the name has a default. */
export const networkSpec = z.strictObject({
  name: nameText,
  /** The bridge's interface name; by default made from the network's name. */
  bridge: ifNameText.optional(),
  /** At most one IPv4 and one IPv6 range for each entry; "auto" takes a free /24 of 172.16.0.0/12. */
  subnets: z
    .array(z.union([z.literal("auto"), networkPrefix, prefixText.transform((prefix) => ({ prefix }))]))
    .min(1)
    .max(8)
    .default(["auto"]),
  /** Adds a unique-local /64 made from this host's identity (RFC 4193). */
  ipv6: z.boolean().default(false),
  /** Bytes; "auto" follows the interface of the default route. */
  mtu: z.union([z.literal("auto"), z.number().int().min(1280).max(65535)]).default("auto"),
  /** Upstream resolvers; by default the host's own. */
  dns: z.array(ipText).max(8).default([]),
  /** Hide guests behind the host's address when they leave the network. */
  nat: z.boolean().default(true),
  /** "guests": guests of this network cannot reach each other, only the gateway and what lies beyond it. */
  isolation: z.enum(["none", "guests"]).default("none"),
  /** No way out of the network and none in: no NAT, no default route, no published ports. */
  internal: z.boolean().default(false),
  /** Tell virtual machines their addresses by DHCP, and where there is IPv6 by router advertisements and DHCPv6. */
  dhcp: z.boolean().default(true),
  /** Networks that may talk to this one; peering holds in both directions. */
  peers: z.array(nameText).max(256).default([]),
  /** Where guests may connect to beyond the network and its peers, by name; without it anywhere. */
  egress: keptEgress,
  labels: labelSet.default({}),
});

export type NetworkSpecInput = z.input<typeof networkSpec>;
export type NetworkSpec = z.output<typeof networkSpec>;

/** What may change on a network that exists; subnets and bridge stay for its life. */
export const networkChange = z.strictObject({
  mtu: networkSpec.shape.mtu.unwrap().optional(),
  dns: networkSpec.shape.dns.unwrap().optional(),
  nat: z.boolean().optional(),
  isolation: z.enum(["none", "guests"]).optional(),
  internal: z.boolean().optional(),
  dhcp: z.boolean().optional(),
  peers: networkSpec.shape.peers.unwrap().optional(),
  egress: egressWish.optional(),
  /** All of them: those that are left out are gone. */
  labels: labelSet.optional(),
});
export type NetworkChange = z.output<typeof networkChange>;

/** The ranges of a subnet that guests never get. */
export function reservedOf(subnet: NetworkSpec["subnets"][number]): readonly Prefix[] {
  return subnet !== "auto" && "reserved" in subnet ? (subnet.reserved ?? []) : [];
}

/** Where virtual machines get their addresses from, if it was said. */
export function dhcpRangeOf(subnet: NetworkSpec["subnets"][number]): AddressRange | undefined {
  return subnet !== "auto" && "dhcpRange" in subnet ? subnet.dhcpRange : undefined;
}

export type AddressRange = { from: Ip; to: Ip };
