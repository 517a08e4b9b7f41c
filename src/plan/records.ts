import type { Ip } from "../base/ip.ts";
import type { Mac } from "../base/mac.ts";
import type { IfName, Name } from "../base/names.ts";
import type { Port } from "../base/port.ts";
import type { Prefix } from "../base/prefix.ts";
import type { EgressWish } from "../spec/egress-wish.ts";
import type { NetworkSpec } from "../spec/network.ts";
import type { PublishSpec } from "../spec/node.ts";

/** What state remembers and plan/ works from: every decision made, nothing left to choose. */

export type Subnet = { prefix: Prefix; gateway: Ip };

export type NetworkRecord = {
  name: Name;
  /** 1..0xffffff; the low bits of its link group. */
  index: number;
  bridge: IfName;
  mac: Mac;
  subnets: Subnet[];
  spec: NetworkSpec;
};

export type AttachmentRecord = {
  guest: Name;
  /** 0 is eth0 in the guest. */
  nic: number;
  network: Name;
  hostInterface: IfName;
  mac: Mac;
  addresses: Ip[];
  end: AttachmentEnd;
  /** Its own policy, which narrows that of its network. */
  egress?: EgressWish;
};

/** Where the guest's side is: a veth's other end in a namespace, named as under /run/netns; or a tap held open by a virtual machine. */
export type AttachmentEnd = { kind: "namespace"; netns: string } | { kind: "tap"; queues: number };

/** The namespaces these attachments live in. */
export function namespacesOf(attachments: readonly AttachmentRecord[]): Set<string> {
  return new Set(attachments.flatMap(({ end }) => (end.kind === "namespace" ? [end.netns] : [])));
}

/** A published port with the guest's addresses it leads to. */
export type PublishRecord = PublishSpec & { guest: Name; targets: Ip[] };

/** An address that a guest may reach on a port, because it asked for a name that its egress policy allows. */
export type PinRecord = {
  /** The guest's own address. */
  source: Ip;
  address: Ip;
  port: Port;
  /** Those asked for that gave this address and whose time is not over. */
  names: readonly string[];
  leftMs: number;
};
