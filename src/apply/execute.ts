import { KernelError, joinErrors } from "../base/errors.ts";
import { unreachable } from "../base/exhaustive.ts";
import type { Ip } from "../base/ip.ts";
import type { IfName } from "../base/names.ts";
import { makePrefix, type Prefix } from "../base/prefix.ts";
import { addAddress, addressStep, removeAddress } from "../kernel/addresses.ts";
import { batchIgnoring } from "../kernel/batch-steps.ts";
import { flushDepartures, flushPrefixFlows, flushPublishedFlows } from "../kernel/conntrack.ts";
import { addAltName, changeLink, changeStep, createBridge, createVeth, deleteLink, findLinkIndex } from "../kernel/links.ts";
import { createNamespace, nameNamespace, namespacePath, openNamespace, pinNamespace, removeNamespace } from "../kernel/namespaces.ts";
import type { NamespaceStock } from "../kernel/namespace-stock.ts";
import { NetlinkSocket } from "../kernel/netlink-socket.ts";
import { changePort } from "../kernel/ports.ts";
import { addConnectedRoute, removeRoute, routeStep } from "../kernel/routes.ts";
import { type SysctlPath, writeSysctl } from "../kernel/sysctl.ts";
import { createTaps } from "../kernel/taps.ts";
import { type GuestSideStep, judgedGroups, type LinkWish, type Step, type TapStep, undoOf, type VethStep } from "../plan/steps.ts";
import type { Host } from "./host.ts";

/** Does one step, synchronously. */
export type Perform = (step: Step) => void;

/**
 * All steps in order, or none: when one fails, those done are undone in reverse.
 * @throws the first failure; failures of the undo are joined to it
 */
export function executeAll(steps: readonly Step[], perform: Perform): void {
  const done: Step[] = [];
  for (const step of steps) {
    try {
      perform(step);
      done.push(step);
    } catch (error) {
      const also = undoAll(done, perform);
      if (also.length === 0) throw error;
      throw joinErrors([error, ...also], `${error instanceof Error ? error.message : String(error)}; and undoing it failed in part`);
    }
  }
}

/** Each step for itself: a repair that fails holds up no other. Gives the failures. */
export function executeEach(steps: readonly Step[], perform: Perform): { step: Step; error: unknown }[] {
  const failed: { step: Step; error: unknown }[] = [];
  for (const step of steps) {
    try {
      perform(step);
    } catch (error) {
      failed.push({ step, error });
    }
  }
  return failed;
}

export function performOn(host: Host): Perform {
  return (step) => perform(step, host);
}

function undoAll(done: readonly Step[], perform: Perform): unknown[] {
  const errors: unknown[] = [];
  for (const step of done.toReversed())
    for (const back of undoOf(step)) {
      try {
        perform(back);
      } catch (error) {
        errors.push(error);
      }
    }
  return errors;
}

function perform(step: Step, host: Host): void {
  const { route, netfilter, firewall, namespaces, taps } = host;
  switch (step.kind) {
    case "create-bridge":
      createBridge(route, {
        name: step.name,
        mac: step.mac,
        mtuBytes: step.mtuBytes,
        group: step.group,
        altName: step.altName,
        up: true,
      });
      return;
    case "change-link":
      return changeLink(route, the(route, step.name), linkChange(route, step.change));
    case "add-alt-name":
      return addAltName(route, the(route, step.link), step.altName);
    case "delete-link": {
      taps.close(step.name);
      const index = findLinkIndex(route, step.name);
      if (index !== undefined) deleteLink(route, { index, name: step.name });
      return;
    }
    case "add-address":
      return addAddress(route, { link: the(route, step.link), cidr: step.cidr });
    case "remove-address":
      return removeAddress(route, { link: the(route, step.link), cidr: step.cidr });
    case "add-route":
      return addConnectedRoute(route, { link: the(route, step.link), cidr: step.cidr });
    case "create-namespace":
      return makeNamespace(step, namespaces);
    case "remove-namespace":
      return removeNamespace(step.name);
    case "create-veth":
      return makeVeth(route, step);
    case "create-tap":
      return makeTap(host, step);
    case "configure-guest":
      return configureGuest(step);
    case "set-port":
      return changePort(route, the(route, step.link), {
        isolated: step.isolated,
        hairpin: step.hairpin,
        groupForwardMask: judgedGroups,
        learning: true,
        unicastFlood: true,
        multicastFlood: true,
        broadcastFlood: true,
        neighbourSuppress: false,
      });
    case "set-sysctl":
      writeSysctl(step.path as SysctlPath, step.value);
      return;
    case "firewall":
      return firewall.apply(step.op, step.changes);
    case "forget-flows":
      flushPrefixFlows(netfilter, step.prefixes);
      return;
    case "forget-departures":
      flushDepartures(netfilter, step.sources, step.kept);
      return;
    case "forget-connections":
      flushPublishedFlows(netfilter, {
        transport: step.protocol,
        port: step.from,
        portEnd: step.to,
        ...(step.hostAddress === undefined ? {} : { address: step.hostAddress }),
      });
      return;
    default:
      return unreachable(step);
  }
}

function makeNamespace({ name, ofPid }: Extract<Step, { kind: "create-namespace" }>, stock: NamespaceStock): void {
  if (ofPid !== undefined) return pinNamespace(name, ofPid);
  using ready = stock.take();
  if (ready === undefined) createNamespace(name);
  else nameNamespace(name, ready);
}

function makeVeth(route: NetlinkSocket, step: VethStep): void {
  using netns = openNamespace(namespacePath(step.netns));
  createVeth(route, {
    ...hostSide(route, step),
    up: true,
    peer: {
      name: step.guestName,
      mac: step.guestMac,
      mtuBytes: step.mtuBytes,
      group: step.group,
      netns,
    },
  });
}

/** The host's end of a guest's link, whatever is at the other. */
function hostSide(route: NetlinkSocket, { name, mac, mtuBytes, group, master, altName, isolated }: VethStep | TapStep) {
  return {
    name,
    mac,
    mtuBytes,
    group,
    master: the(route, master),
    altName,
    port: { isolated, hairpin: true, groupForwardMask: judgedGroups },
  };
}

function makeTap({ route, taps }: Host, step: TapStep): void {
  const [queues] = createTaps(route, [
    {
      ...hostSide(route, step),
      queues: step.queues,
      holder: step.holder,
    },
  ]);
  taps.put(step.name, queues ?? []);
  if (step.holder !== undefined) taps.close(step.name);
}

/** What is there already is left: the step makes complete, whether it starts from nothing or from a half. */
function configureGuest(step: GuestSideStep): void {
  using netns = openNamespace(namespacePath(step.netns));
  using inside = NetlinkSocket.open("route", { netns });
  const link = the(inside, step.link);
  for (const route of step.staleRoutes) removeRoute(inside, { ...route, link });
  batchIgnoring(
    inside,
    [
      changeStep({ index: 1, name: "lo" }, { up: true }),
      // Before the link is up: after it the kernel has given it a link-local address already.
      changeStep(link, { mac: step.mac, mtuBytes: step.mtuBytes, ...(step.ipv6 ? {} : { ipv6LinkLocal: "none" }) }),
      changeStep(link, { up: true }),
      ...step.addresses.map((cidr) => addressStep({ link, cidr })),
      ...step.gateways.map((via) => routeStep({ destination: anywhere(via), via, link })),
      ...step.routes.map((route) => routeStep({ ...route, link })),
    ],
    ["EEXIST"],
  );
}

function anywhere(gateway: Ip): Prefix {
  return makePrefix(gateway, 0);
}

function linkChange(route: NetlinkSocket, wish: LinkWish) {
  const { master, ...rest } = wish;
  return { ...rest, ...(master === undefined ? {} : { master: the(route, master) }) };
}

function the(route: NetlinkSocket, name: IfName): { index: number; name: IfName } {
  const index = findLinkIndex(route, name);
  if (index === undefined) throw new KernelError({ op: `look up ${name}`, errno: "ENODEV", text: "No such device" });
  return { index, name };
}
