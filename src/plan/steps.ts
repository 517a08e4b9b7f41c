import { unreachable } from "../base/exhaustive.ts";
import type { Ip } from "../base/ip.ts";
import type { Mac } from "../base/mac.ts";
import type { IfName } from "../base/names.ts";
import type { Port, Transport } from "../base/port.ts";
import type { Cidr, Prefix } from "../base/prefix.ts";
import type { PinRecord } from "./records.ts";
import type { FirewallChange } from "../wire/nftables/model.ts";

/** Everything Nexus ever does to a host's network. A plan is an ordered list of these, printable without a host. */
export type Step =
  | { kind: "create-bridge"; name: IfName; mac: Mac; mtuBytes: number; group: number; altName: string }
  | { kind: "change-link"; name: IfName; change: LinkWish; was: LinkWish }
  | { kind: "add-alt-name"; link: IfName; altName: string }
  | { kind: "delete-link"; name: IfName; why: string }
  | { kind: "add-address"; link: IfName; cidr: Cidr }
  | { kind: "remove-address"; link: IfName; cidr: Cidr }
  /** The route to the address's own network: the kernel makes it with the address, and not again. */
  | { kind: "add-route"; link: IfName; cidr: Cidr }
  /** `ofPid`: pins the namespace that this process is in, instead of making one. */
  | { kind: "create-namespace"; name: string; ofPid?: number }
  | { kind: "remove-namespace"; name: string }
  | VethStep
  | TapStep
  | GuestSideStep
  | { kind: "set-port"; link: IfName; isolated: boolean; hairpin: boolean }
  | { kind: "set-sysctl"; path: readonly string[]; value: string; was: string | undefined }
  | { kind: "firewall"; op: string; changes: FirewallChange[]; undo: FirewallChange[] }
  /** Every connection from or to these addresses: what they were let to do is judged anew. */
  | { kind: "forget-flows"; prefixes: readonly Prefix[] }
  /** Connections that begin at these addresses, but for those to what is pinned for them. */
  | { kind: "forget-departures"; sources: readonly Ip[]; kept: readonly Pick<PinRecord, "source" | "address" | "port">[] }
  | { kind: "forget-connections"; protocol: Transport; hostAddress: Ip | undefined; from: Port; to: Port };

/**
 * Every group 01:80:c2:00:00:0x but that of MAC pauses, which the kernel drops. Frames to a group that a port does not forward pass by the
 * bridge's firewall: the bridge learns their forged source (net/bridge/br_input.c), and the host takes the packets in them as come by the port.
 */
export const judgedGroups = 0xfffd;

/** What may be asked of a link that exists. */
export type LinkWish = { mtuBytes?: number; mac?: Mac; group?: number; up?: boolean; master?: IfName };

export type VethStep = {
  kind: "create-veth";
  name: IfName;
  mac: Mac;
  guestMac: Mac;
  guestName: IfName;
  netns: string;
  master: IfName;
  mtuBytes: number;
  group: number;
  altName: string;
  isolated: boolean;
};

/** A tap for a virtual machine that is about to start, whose queues stay open until they are handed over; or for one that lost its own. */
export type TapStep = Pick<VethStep, "name" | "mac" | "master" | "mtuBytes" | "group" | "altName" | "isolated"> & {
  kind: "create-tap";
  /** More than one makes it multi-queue. */
  queues: number;
  /** The process that has dead queues of this tap open, which come to life again. */
  holder?: TapHolder;
};

/** A process and the numbers it knows a tap's queues by, in order. */
export type TapHolder = { pid: number; fds: readonly number[] };

export type GuestRoute = { destination: Prefix; via: Ip };

/** Inside the guest's namespace: lo and the interface up, addresses, default routes. */
export type GuestSideStep = {
  kind: "configure-guest";
  netns: string;
  link: IfName;
  /** The only one the ruleset lets through. */
  mac: Mac;
  mtuBytes: number;
  addresses: Cidr[];
  /** Default routes; at most one of each family. */
  gateways: Ip[];
  /** To peers of this network, where the default route does not lead through it. */
  routes: GuestRoute[];
  /** Such routes that are there and no longer wanted. */
  staleRoutes: GuestRoute[];
  ipv6: boolean;
};

/** What puts the host back as it was before the step; empty where a later step's undo covers it. */
export function undoOf(step: Step): Step[] {
  switch (step.kind) {
    case "create-bridge":
      return [{ kind: "delete-link", name: step.name, why: "undo" }];
    case "change-link":
      return [{ kind: "change-link", name: step.name, change: step.was, was: step.change }];
    case "add-address":
      return [{ kind: "remove-address", link: step.link, cidr: step.cidr }];
    case "remove-address":
      return [{ kind: "add-address", link: step.link, cidr: step.cidr }];
    case "create-namespace":
      return [{ kind: "remove-namespace", name: step.name }];
    case "create-veth":
    case "create-tap":
      return [{ kind: "delete-link", name: step.name, why: "undo" }];
    case "set-sysctl":
      return step.was === undefined ? [] : [{ kind: "set-sysctl", path: step.path, value: step.was, was: step.value }];
    case "firewall":
      return step.undo.length === 0 ? [] : [{ kind: "firewall", op: `undo ${step.op}`, changes: step.undo, undo: step.changes }];
    // What was removed or configured inside an object goes with the object; a deleted link is made anew by the next plan.
    case "delete-link":
    case "remove-namespace":
    case "configure-guest":
    case "set-port":
    case "add-alt-name":
    case "add-route":
    case "forget-flows":
    case "forget-departures":
    case "forget-connections":
      return [];
    default:
      return unreachable(step);
  }
}
