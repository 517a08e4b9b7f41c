import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { IfName } from "../../src/base/names.ts";
import { makeCidr, networkOf } from "../../src/base/prefix.ts";
import { type Desired, plan } from "../../src/plan/plan.ts";
import type { Step } from "../../src/plan/steps.ts";
import { KernelModel } from "./kernel-model.ts";
import { ip, nameOf, sample } from "./sample.ts";

const wanted = sample();
const lan = wanted.networks[0] ?? assert.fail();
const hotel = wanted.networks[3] ?? assert.fail();
const web = wanted.attachments[0] ?? assert.fail();
const room = wanted.attachments.find((a) => a.guest === nameOf("room")) ?? assert.fail();
const [bridge, veth] = [lan.bridge, web.hostInterface];
const gateway = makeCidr(ip("10.7.0.1"), 24);
const change = (
  name: IfName,
  after: Partial<Extract<Step, { kind: "change-link" }>["change"]>,
  was: Partial<Extract<Step, { kind: "change-link" }>["change"]>,
): Step => ({ kind: "change-link", name, change: after, was });
const guest: Step = {
  kind: "configure-guest",
  netns: "nexus-web",
  link: "eth0" as IfName,
  mac: web.mac,
  mtuBytes: 1500,
  addresses: [makeCidr(ip("10.7.0.10"), 24), makeCidr(ip("fd00:7::a"), 64)],
  gateways: [ip("10.7.0.1"), ip("fd00:7::1")],
  routes: [],
  staleRoutes: [],
  ipv6: true,
};

type Drift = { what: string; happens: (kernel: KernelModel) => void; repair: Step[]; of?: Desired };

const drifts: Drift[] = [
  {
    what: "a bridge goes down",
    happens: (k) => void (linkOf(k, bridge).up = false),
    repair: [change(bridge, { up: true }, { up: false })],
  },
  {
    what: "a bridge has another MTU",
    happens: (k) => void (linkOf(k, bridge).mtuBytes = 1400),
    repair: [change(bridge, { mtuBytes: 1500 }, { mtuBytes: 1400 })],
  },
  {
    what: "a bridge has another MAC",
    happens: (k) => void (linkOf(k, bridge).mac = web.mac),
    repair: [change(bridge, { mac: lan.mac }, { mac: web.mac })],
  },
  {
    what: "a bridge leaves its group",
    happens: (k) => void (linkOf(k, bridge).group = 0),
    repair: [change(bridge, { group: 0x4e000001 }, { group: 0 })],
  },
  {
    what: "a bridge loses its alternative name",
    happens: (k) => void (linkOf(k, bridge).altNames = []),
    repair: [{ kind: "add-alt-name", link: bridge, altName: "nexus:lan" }],
  },
  {
    what: "a gateway's address goes",
    happens: (k) => void (linkOf(k, bridge).addresses = linkOf(k, bridge).addresses.filter((a) => a !== gateway)),
    repair: [{ kind: "add-address", link: bridge, cidr: gateway }],
  },
  {
    what: "the route to a network goes",
    happens: (k) => void (linkOf(k, bridge).routed = linkOf(k, bridge).routed.filter((p) => p !== networkOf(gateway))),
    repair: [{ kind: "add-route", link: bridge, cidr: gateway }],
  },
  {
    what: "a bridge has another address too",
    happens: (k) => void linkOf(k, bridge).addresses.push(makeCidr(ip("10.99.0.1"), 24)),
    repair: [{ kind: "remove-address", link: bridge, cidr: makeCidr(ip("10.99.0.1"), 24) }],
  },
  {
    what: "the kernel gives a bridge its link-local address",
    happens: (k) => void linkOf(k, bridge).addresses.push(makeCidr(ip("fe80::1"), 64)),
    repair: [],
  },
  ...(
    [
      [["net", "ipv4", "ip_forward"], "1", "0"],
      [["net", "ipv6", "conf", "all", "forwarding"], "1", "0"],
      [["net", "ipv4", "conf", bridge, "route_localnet"], "1", "0"],
      [["net", "ipv4", "conf", bridge, "rp_filter"], "2", "1"],
      [["net", "ipv6", "conf", bridge, "disable_ipv6"], "0", "1"],
      [["net", "ipv6", "conf", bridge, "accept_ra"], "0", "1"],
      [["net", "ipv6", "conf", "nx-dmz", "disable_ipv6"], "1", "0"],
    ] as const
  ).map(([path, value, was]): Drift => ({
    what: `${path.join("/")} is ${was}`,
    happens: (k) => void k.sysctls.set(path.join("/"), was),
    repair: [{ kind: "set-sysctl", path: [...path], value, was }],
  })),
  { what: "a veth goes down", happens: (k) => void (linkOf(k, veth).up = false), repair: [change(veth, { up: true }, { up: false })] },
  {
    what: "a veth has another MTU",
    happens: (k) => void (linkOf(k, veth).mtuBytes = 9000),
    repair: [change(veth, { mtuBytes: 1500 }, { mtuBytes: 9000 })],
  },
  {
    what: "a veth leaves its group",
    happens: (k) => void (linkOf(k, veth).group = 1),
    repair: [change(veth, { group: 0x4e000001 }, { group: 1 })],
  },
  {
    what: "a veth loses its alternative name",
    happens: (k) => void (linkOf(k, veth).altNames = []),
    repair: [{ kind: "add-alt-name", link: veth, altName: `nexus:lan:web:0:${veth}` }],
  },
  {
    what: "a veth has another master",
    happens: (k) => void Object.assign(linkOf(k, veth), { master: "nx-dmz", port: { isolated: false, hairpin: true, judged: true } }),
    repair: [
      change(veth, { master: bridge }, { master: "nx-dmz" as IfName }),
      { kind: "set-port", link: veth, isolated: false, hairpin: true },
    ],
  },
  {
    what: "an isolated guest's port leaves its bridge",
    happens: (k) => void Object.assign(linkOf(k, room.hostInterface), { master: undefined, port: undefined }),
    repair: [
      change(room.hostInterface, { master: hotel.bridge }, {}),
      { kind: "set-port", link: room.hostInterface, isolated: true, hairpin: true },
    ],
  },
  {
    what: "a port is isolated",
    happens: (k) => void (linkOf(k, veth).port = { isolated: true, hairpin: true, judged: true }),
    repair: [{ kind: "set-port", link: veth, isolated: false, hairpin: true }],
  },
  {
    what: "an isolated port is not",
    happens: (k) => void (linkOf(k, room.hostInterface).port = { isolated: false, hairpin: true, judged: true }),
    repair: [{ kind: "set-port", link: room.hostInterface, isolated: true, hairpin: true }],
  },
  {
    what: "a port has no hairpin",
    happens: (k) => void (linkOf(k, veth).port = { isolated: false, hairpin: false, judged: true }),
    repair: [{ kind: "set-port", link: veth, isolated: false, hairpin: true }],
  },
  {
    what: "a port hides frames from the firewall",
    happens: (k) => void (linkOf(k, veth).port = { isolated: false, hairpin: true, judged: false }),
    repair: [{ kind: "set-port", link: veth, isolated: false, hairpin: true }],
  },
  { what: "a guest's interface goes down", happens: (k) => void (insideOf(k).up = false), repair: [guest] },
  { what: "a guest's interface has another MAC", happens: (k) => void (insideOf(k).mac = lan.mac), repair: [guest] },
  { what: "a guest's interface has another MTU", happens: (k) => void (insideOf(k).mtuBytes = 1400), repair: [guest] },
  { what: "a guest loses an address", happens: (k) => void insideOf(k).addresses.pop(), repair: [guest] },
  { what: "a guest loses a default route", happens: (k) => void insideOf(k).gateways.pop(), repair: [guest] },
  { what: "a guest has one address more", happens: (k) => void insideOf(k).addresses.push(makeCidr(ip("10.1.1.1"), 32)), repair: [] },
  {
    what: "a guest's loopback goes down",
    happens: (k) => void ((k.namespaces.get("nexus-web") ?? assert.fail()).loopbackUp = false),
    repair: [
      guest,
      {
        ...guest,
        link: "eth1" as IfName,
        mac: wanted.attachments[1]?.mac ?? assert.fail(),
        addresses: [makeCidr(ip("10.9.0.10"), 24), makeCidr(ip("fd00:9::a"), 64)],
        gateways: [],
      },
    ],
  },
  { what: "the uplink has another MTU", happens: (k) => void (k.uplinkMtuBytes = 1499), repair: allMtus(1499) },
];

describe("one thing that drifts is one step", () => {
  for (const { what, happens, repair } of drifts) {
    test(what, () => {
      const kernel = settled();
      happens(kernel);
      const steps = stepsOf(kernel);
      assert.deepEqual(steps, repair);
      for (const step of steps) kernel.perform(step);
      assert.deepEqual(stepsOf(kernel), []);
    });
  }

  for (const { what, happens, kinds } of [
    {
      what: "a veth is gone",
      happens: (k: KernelModel) => k.perform({ kind: "delete-link", name: veth, why: "test" }),
      kinds: ["create-veth", "configure-guest"],
    },
    {
      what: "a veth has another name",
      happens: (k: KernelModel) => rename(k, veth, "stolen" as IfName),
      kinds: ["delete-link", "create-veth", "configure-guest"],
    },
    {
      what: "a bridge has another name",
      happens: (k: KernelModel) => {
        rename(k, hotel.bridge, "stolen" as IfName);
        linkOf(k, room.hostInterface).master = "stolen" as IfName;
        for (const path of k.sysctls.keys()) if (path.split("/")[3] === hotel.bridge) k.sysctls.delete(path);
      },
      kinds: ["delete-link", "create-bridge", ...Array<string>(5).fill("set-sysctl"), "add-address", "change-link", "set-port"],
    },
    {
      what: "a guest's end is gone from its namespace",
      happens: (k: KernelModel) => k.namespaces.get("nexus-room")?.links.clear(),
      kinds: ["delete-link", "create-veth", "configure-guest"],
    },
    {
      what: "a guest's namespace is gone",
      happens: (k: KernelModel) => k.perform({ kind: "remove-namespace", name: "nexus-room" }),
      kinds: ["create-namespace", "create-veth", "configure-guest"],
    },
    {
      what: "a bridge is gone",
      happens: (k: KernelModel) => k.perform({ kind: "delete-link", name: hotel.bridge, why: "test" }),
      kinds: ["create-bridge", ...Array<string>(5).fill("set-sysctl"), "add-address", "change-link", "set-port"],
    },
  ]) {
    test(what, () => {
      const kernel = settled();
      const whole = kernel.snapshot();
      happens(kernel);
      const steps = stepsOf(kernel);
      assert.deepEqual(
        steps.map((s) => s.kind),
        kinds,
      );
      for (const step of steps) kernel.perform(step);
      assert.deepEqual(kernel.snapshot(), whole);
    });
  }

  test("a namespace whose file was deleted is pinned again from the guest that lives in it", () => {
    const kernel = settled();
    kernel.namespaces.delete("nexus-room");
    const observed = kernel.observe(wanted, { residents: new Map([["nexus-room", 4242]]) });
    assert.deepEqual(plan(wanted, observed).attachments[0], { kind: "create-namespace", name: "nexus-room", ofPid: 4242 });
  });

  test("a guest that was not looked at is left alone", () => {
    const kernel = settled();
    insideOf(kernel).up = false;
    const { attachments } = plan(wanted, kernel.observe(wanted, { guestSides: new Map() }));
    assert.deepEqual(attachments, []);
  });

  test("forwarding keeps the uplink's own advertised default route, and is asked for IPv6 only where there is any", () => {
    const observed = new KernelModel().observe(wanted, { routerAdvertLinks: ["wan0" as IfName] });
    const paths = (of: Desired) =>
      plan(of, observed)
        .networks.flatMap((s) => (s.kind === "set-sysctl" ? [s.path.join("/")] : []))
        .slice(0, 3);
    assert.deepEqual(paths(wanted), ["net/ipv4/ip_forward", "net/ipv6/conf/wan0/accept_ra", "net/ipv6/conf/all/forwarding"]);
    const v4 = { ...wanted, networks: wanted.networks.slice(1, 2) };
    assert.equal(paths(v4).includes("net/ipv6/conf/all/forwarding"), false);
  });
});

/** Every link of a network that follows the uplink; those with an MTU of their own stay. */
function allMtus(mtuBytes: number): Step[] {
  const following = wanted.networks.filter((n) => n.spec.mtu === "auto");
  const ofLinks = (names: IfName[]) => names.map((name) => change(name, { mtuBytes }, { mtuBytes: 1500 }));
  return [
    ...ofLinks(following.map((n) => n.bridge)),
    ...wanted.attachments.flatMap((a): Step[] => {
      if (!following.some((n) => n.name === a.network)) return [];
      const inside = stepsOf(new KernelModel()).find((s) => s.kind === "configure-guest" && s.mac === a.mac);
      return [...ofLinks([a.hostInterface]), { ...(inside ?? assert.fail()), mtuBytes } as Step];
    }),
  ];
}

function settled(): KernelModel {
  const kernel = new KernelModel();
  for (const step of stepsOf(kernel)) kernel.perform(step);
  return kernel;
}

function stepsOf(kernel: KernelModel): Step[] {
  const { networks, attachments, leftovers } = plan(wanted, kernel.observe(wanted));
  return [...networks, ...attachments, ...leftovers];
}

function rename(kernel: KernelModel, from: IfName, to: IfName): void {
  const link = linkOf(kernel, from);
  kernel.links.delete(from);
  kernel.links.set(to, { ...link, name: to });
  for (const { links } of kernel.namespaces.values()) for (const inside of links.values()) if (inside.pair === from) inside.pair = to;
}

function linkOf(kernel: KernelModel, name: IfName) {
  return kernel.links.get(name) ?? assert.fail(name);
}

function insideOf(kernel: KernelModel) {
  return kernel.namespaces.get("nexus-web")?.links.get("eth0" as IfName) ?? assert.fail();
}
