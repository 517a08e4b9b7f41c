import type { Ip } from "../base/ip.ts";
import type { Mac } from "../base/mac.ts";
import type { IfName } from "../base/names.ts";
import type { GuestRoute, TapHolder } from "./steps.ts";
import type { Cidr, Prefix } from "../base/prefix.ts";

/** What the kernel shows; read types, never written back. */

export type ObservedLink = {
  name: IfName;
  index: number;
  kind: string | undefined;
  mac: Mac | undefined;
  mtuBytes: number;
  group: number;
  up: boolean;
  /** Name of the bridge it is a port of. */
  master: IfName | undefined;
  altNames: string[];
  /** `judged`: it forwards all of `judgedGroups`, and otherwise learns and floods as a port does. */
  port: { isolated: boolean; hairpin: boolean; judged: boolean } | undefined;
  addresses: Cidr[];
  /** Where the main table leads by this link itself, without a gateway: to the networks of its addresses, unless somebody took that away. */
  routed: Prefix[];
};

export type ObservedRoute = { prefix: Prefix; link: IfName | undefined; table: number };

export type ObservedGuestSide = {
  link: IfName;
  mac: Mac | undefined;
  up: boolean;
  mtuBytes: number;
  addresses: Cidr[];
  gateways: Ip[];
  /** Routes of our protocol, default ones too. */
  routes: GuestRoute[];
  loopbackUp: boolean;
};

export type Observed = {
  links: Map<IfName, ObservedLink>;
  /** Names under /run/netns that are network namespaces. */
  namespaces: Set<string>;
  /** Those among them that are ours though no attachment asks for them: they hold a link of ours, or bear a guest's name and are as we make them. */
  provenNamespaces: Set<string>;
  /** Processes that live in a guest's namespace, by the namespace's name: it can be pinned again from them. */
  residents: Map<string, number>;
  /** Running virtual machines that have the queues of a tap open, by its name. */
  tapHolders: Map<IfName, TapHolder>;
  /** What guests' namespaces hold, by attachment host interface; absent where it was not looked at. */
  guestSides: Map<IfName, ObservedGuestSide | "gone">;
  /** Values of the settings that the plan asked about, by path joined with "/". */
  sysctls: Map<string, string>;
  /** Bytes of the default route's interface; 1500 when there is none. */
  uplinkMtuBytes: number;
  /** Interfaces whose IPv6 default route came from a router advertisement. */
  routerAdvertLinks: IfName[];
};
