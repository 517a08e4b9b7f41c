import assert from "node:assert/strict";
import { isDeepStrictEqual } from "node:util";
import { unreachable } from "../../src/base/exhaustive.ts";
import type { IfName } from "../../src/base/names.ts";
import { type Cidr, makePrefix, networkOf, type Prefix, prefixLength } from "../../src/base/prefix.ts";
import { isOurGroup } from "../../src/plan/group.ts";
import type { Observed, ObservedGuestSide, ObservedLink } from "../../src/plan/observed.ts";
import type { Desired } from "../../src/plan/plan.ts";
import { namespacesOf } from "../../src/plan/records.ts";
import type { GuestRoute, GuestSideStep, Step, VethStep } from "../../src/plan/steps.ts";

type GuestLink = Omit<ObservedGuestSide, "loopbackUp"> & { pair: IfName; group: number };
type Namespace = { loopbackUp: boolean; links: Map<IfName, GuestLink> };

/** A host in memory that does steps as Linux does, with its refusals, and shows what a plan looks at. */
export class KernelModel {
  readonly links = new Map<IfName, ObservedLink>();
  readonly namespaces = new Map<string, Namespace>();
  readonly sysctls = new Map<string, string>([
    ["net/ipv4/ip_forward", "0"],
    ["net/ipv6/conf/all/forwarding", "0"],
  ]);
  uplinkMtuBytes = 1500;
  #index = 1;

  perform(step: Step): void {
    switch (step.kind) {
      case "create-bridge":
        this.#create({ ...step, kind: "bridge", up: true, master: undefined, altNames: [step.altName], port: undefined });
        for (const key of ["route_localnet", "rp_filter"]) this.sysctls.set(`net/ipv4/conf/${step.name}/${key}`, "0");
        for (const key of ["disable_ipv6", "accept_ra", "accept_dad"])
          this.sysctls.set(`net/ipv6/conf/${step.name}/${key}`, key === "disable_ipv6" ? "0" : "1");
        return;
      case "change-link": {
        const link = this.#link(step.name);
        if (step.change.master !== undefined) {
          this.#link(step.change.master);
          if (link.master !== step.change.master) link.port = { isolated: false, hairpin: false, judged: false };
        }
        Object.assign(link, step.change);
        return;
      }
      case "add-alt-name":
        this.#link(step.link).altNames.push(step.altName);
        return;
      case "delete-link":
        return this.#delete(step.name);
      case "add-address": {
        const { addresses } = this.#link(step.link);
        assert.ok(!addresses.includes(step.cidr), `EEXIST ${step.cidr}`);
        assert.ok(
          !step.cidr.includes(":") || this.sysctls.get(`net/ipv6/conf/${step.link}/disable_ipv6`) !== "1",
          `EACCES ${step.cidr}: IPv6 is off`,
        );
        addresses.push(step.cidr);
        this.#route(step.link, networkOf(step.cidr));
        return;
      }
      case "remove-address": {
        const link = this.#link(step.link);
        assert.ok(link.addresses.includes(step.cidr), `EADDRNOTAVAIL ${step.cidr}`);
        link.addresses = link.addresses.filter((a) => a !== step.cidr);
        link.routed = link.routed.filter((prefix) => prefix !== networkOf(step.cidr));
        return;
      }
      case "add-route":
        assert.ok(!this.#link(step.link).routed.includes(networkOf(step.cidr)), `EEXIST ${step.cidr}`);
        return this.#route(step.link, networkOf(step.cidr));
      case "create-namespace":
        assert.ok(!this.namespaces.has(step.name), `EEXIST ${step.name}`);
        this.namespaces.set(step.name, { loopbackUp: false, links: new Map() });
        return;
      case "remove-namespace": {
        const pairs = [...(this.namespaces.get(step.name)?.links.values() ?? [])].map((link) => link.pair);
        this.namespaces.delete(step.name);
        for (const pair of pairs) this.links.delete(pair);
        return;
      }
      case "create-veth":
        return this.#createVeth(step);
      case "create-tap":
        this.#link(step.master);
        return this.#create({
          ...step,
          kind: "tun",
          up: true,
          altNames: [step.altName],
          port: { isolated: step.isolated, hairpin: true, judged: true },
        });
      case "configure-guest":
        return this.#configure(step);
      case "set-port": {
        const link = this.#link(step.link);
        assert.ok(link.port, `EINVAL ${step.link} is no port`);
        link.port = { isolated: step.isolated, hairpin: step.hairpin, judged: true };
        return;
      }
      case "set-sysctl":
        assert.ok(this.sysctls.has(step.path.join("/")), `ENOENT ${step.path.join("/")}`);
        this.sysctls.set(step.path.join("/"), step.value);
        return;
      case "firewall":
      case "forget-flows":
      case "forget-departures":
      case "forget-connections":
        return;
      default:
        return unreachable(step);
    }
  }

  observe(desired: Desired, more: Partial<Observed> = {}): Observed {
    const wanted = namespacesOf(desired.attachments);
    const proven = [...this.namespaces]
      .filter(([name, { links }]) => !wanted.has(name) && [...links.values()].some((l) => isOurGroup(l.group)))
      .map(([name]) => name);
    return structuredClone({
      links: this.links,
      namespaces: new Set(this.namespaces.keys()),
      provenNamespaces: new Set(proven),
      residents: new Map(),
      tapHolders: new Map(),
      guestSides: new Map(
        desired.attachments.flatMap(({ end, hostInterface, nic }) =>
          end.kind === "namespace" ? [[hostInterface, this.#side(end.netns, nic)]] : [],
        ),
      ),
      sysctls: this.sysctls,
      uplinkMtuBytes: this.uplinkMtuBytes,
      routerAdvertLinks: [],
      ...more,
    });
  }

  /** Everything there is, for comparison; indexes, which never come back, left out. */
  snapshot(): unknown {
    return structuredClone({
      links: new Map([...this.links].map(([name, link]) => [name, { ...link, index: 0 }])),
      namespaces: this.namespaces,
      sysctls: this.sysctls,
    });
  }

  #side(netns: string, nic: number): ObservedGuestSide | "gone" {
    const namespace = this.namespaces.get(netns);
    const link = namespace?.links.get(`eth${nic}` as IfName);
    if (namespace === undefined || link === undefined) return "gone";
    const { pair: _, group: __, ...side } = link;
    return { ...side, loopbackUp: namespace.loopbackUp };
  }

  #create(link: Omit<ObservedLink, "index" | "addresses" | "routed">): void {
    assert.ok(!this.links.has(link.name), `EEXIST ${link.name}`);
    const { name, kind, mac, mtuBytes, group, up, master, altNames, port } = link;
    this.links.set(name, { name, kind, mac, mtuBytes, group, up, master, altNames, port, index: ++this.#index, addresses: [], routed: [] });
  }

  #route(link: IfName, prefix: Prefix): void {
    const { routed } = this.#link(link);
    if (!routed.includes(prefix)) routed.push(prefix);
  }

  #createVeth(step: VethStep): void {
    this.#link(step.master);
    const namespace = this.namespaces.get(step.netns) ?? assert.fail(`ENOENT ${step.netns}`);
    assert.ok(!namespace.links.has(step.guestName), `EEXIST ${step.guestName}`);
    this.#create({
      ...step,
      kind: "veth",
      up: true,
      altNames: [step.altName],
      port: { isolated: step.isolated, hairpin: true, judged: true },
    });
    namespace.links.set(step.guestName, {
      link: step.guestName,
      mac: step.guestMac,
      up: false,
      mtuBytes: step.mtuBytes,
      addresses: [],
      gateways: [],
      routes: [],
      pair: step.name,
      group: step.group,
    });
  }

  #configure(step: GuestSideStep): void {
    const namespace = this.namespaces.get(step.netns) ?? assert.fail(`ENOENT ${step.netns}`);
    const link = namespace.links.get(step.link) ?? assert.fail(`ENODEV ${step.link}`);
    namespace.loopbackUp = true;
    const merged = <T>(there: T[], wanted: readonly T[]) => [...new Set([...there, ...wanted])];
    Object.assign(link, {
      mac: step.mac,
      up: true,
      mtuBytes: step.mtuBytes,
      addresses: merged<Cidr>(link.addresses, step.addresses),
      gateways: merged(
        link.gateways.filter((via) => !step.staleRoutes.some((stale) => stale.via === via && prefixLength(stale.destination) === 0)),
        step.gateways,
      ),
      routes: [
        ...link.routes.filter((route) => !has(step.staleRoutes, route)),
        ...[...step.routes, ...step.gateways.map((via) => ({ destination: makePrefix(via, 0), via }))].filter(
          (route) => !has(link.routes, route),
        ),
      ],
    });
  }

  #delete(name: IfName): void {
    if (!this.links.delete(name)) return;
    for (const link of this.links.values()) if (link.master === name) Object.assign(link, { master: undefined, port: undefined });
    for (const { links } of this.namespaces.values()) for (const [inside, link] of links) if (link.pair === name) links.delete(inside);
    for (const path of this.sysctls.keys()) if (path.split("/")[3] === name) this.sysctls.delete(path);
  }

  #link(name: IfName): ObservedLink {
    return this.links.get(name) ?? assert.fail(`ENODEV ${name}`);
  }
}

function has(routes: readonly GuestRoute[], wanted: GuestRoute): boolean {
  return routes.some((route) => isDeepStrictEqual(route, wanted));
}
