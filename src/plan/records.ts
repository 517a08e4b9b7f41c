import type { Ip } from "../base/ip.ts";
import type { Mac } from "../base/mac.ts";
import type { IfName, Name } from "../base/names.ts";
import type { Prefix } from "../base/prefix.ts";
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
  /** Name of the network namespace under /run/netns. */
  netns: string;
};

/** A published port with the guest's addresses it leads to. */
export type PublishRecord = PublishSpec & { guest: Name; targets: Ip[] };
