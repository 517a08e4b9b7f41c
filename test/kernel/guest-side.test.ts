import { after, before, describe, test } from "node:test";
import assert from "node:assert/strict";
import { createNamespace, namespacePath, openNamespace, removeNamespace } from "../../src/kernel/namespaces.ts";
import { addAddress, listAddresses } from "../../src/kernel/addresses.ts";
import { configureGuestSide } from "../../src/kernel/guest-side.ts";
import { createVeth, deleteLink, deleteLinkGroup, getLink, type VethInput } from "../../src/kernel/links.ts";
import { NetlinkSocket } from "../../src/kernel/netlink-socket.ts";
import { bridge, cidr, group, ip, mac, name, prefix, refusal, run, shown } from "./iproute.ts";

describe("the guest's side", () => {
  let rt: NetlinkSocket;
  let master: ReturnType<typeof bridge>;

  before(() => {
    rt = NetlinkSocket.open("route");
    master = bridge(rt);
    addAddress(rt, { link: master, cidr: cidr("10.77.0.1/16") });
    addAddress(rt, { link: master, cidr: cidr("fd00:77::1/64") });
  });
  after(() => {
    deleteLinkGroup(rt, group);
    rt[Symbol.dispose]();
  });

  const input = (number: number, netns: VethInput["peer"]["netns"]): VethInput => ({
    name: name(`n${number}`),
    mac: mac(`02:00:00:00:01:${(number & 255).toString(16).padStart(2, "0")}`),
    mtuBytes: 1500,
    group,
    master,
    altName: `nexus:demo:g${number}`,
    up: true,
    peer: { name: name("eth0"), mac: mac(`02:00:00:00:02:${(number & 255).toString(16).padStart(2, "0")}`), mtuBytes: 1500, netns },
  });

  test("one call makes it reachable at once over IPv4 and IPv6, and `ip` shows what was asked", () => {
    createNamespace("g1");
    using netns = openNamespace(namespacePath("g1"));
    const { index, peerIndex } = createVeth(rt, input(1, netns));
    using inside = NetlinkSocket.open("route", { netns });
    configureGuestSide(inside, {
      link: { index: peerIndex, name: "eth0" },
      addresses: [cidr("10.77.0.2/16"), cidr("fd00:77::2/64")],
      gateways: [ip("10.77.0.1"), ip("fd00:77::1")],
      routes: [{ destination: prefix("10.99.0.0/16"), via: ip("10.77.0.9"), mtuBytes: 1300 }],
      metric: 7,
    });
    run("ip netns exec g1 ping -c1 -W2 10.77.0.1");
    run("ip netns exec g1 ping -6 -c1 -W2 fd00:77::1");
    assert.deepEqual(
      shown("ip -n g1 -j -4 route").map(({ dst, gateway, protocol, metric }) => ({ dst, gateway, protocol, metric })),
      [
        { dst: "default", gateway: "10.77.0.1", protocol: "78", metric: 7 },
        { dst: "10.77.0.0/16", gateway: undefined, protocol: "kernel", metric: undefined },
        { dst: "10.99.0.0/16", gateway: "10.77.0.9", protocol: "78", metric: undefined },
      ],
    );
    assert.deepEqual(
      shown("ip -n g1 -j -6 route show default").map(({ gateway, metric }) => [gateway, metric]),
      [["fd00:77::1", 7]],
    );
    const addresses = listAddresses(inside, { link: peerIndex }).filter((address) => address.scope === 0);
    assert.deepEqual(
      addresses.map((address) => [address.cidr, address.tentative, address.protocol]),
      [
        ["10.77.0.2/16", false, 78],
        ["fd00:77::2/64", false, 78],
      ],
    );
    assert.equal(getLink(rt, index)?.carrier, true);
    assert.equal(getLink(inside, "lo")?.up, true);
    removeNamespace("g1");
  });

  test("the refused part is named", () => {
    createNamespace("g2");
    using netns = openNamespace(namespacePath("g2"));
    const { peerIndex } = createVeth(rt, input(2, netns));
    using inside = NetlinkSocket.open("route", { netns });
    const side = { link: { index: peerIndex, name: "eth0" }, addresses: [cidr("10.77.0.3/16")], gateways: [ip("10.88.0.1")] };
    assert.throws(
      () => configureGuestSide(inside, side),
      refusal("add route 0.0.0.0/0 via 10.88.0.1 on eth0: ENETUNREACH (Network is unreachable): Nexthop has invalid gateway"),
    );
    const taken = { ...side, gateways: [] };
    assert.throws(() => configureGuestSide(inside, taken), refusal("add address 10.77.0.3/16 to eth0: EEXIST (File exists)"));
    removeNamespace("g2");
  });

  test("a whole attach takes about a millisecond: less than one wait of the kind a move or a deletion needs", (context) => {
    const parts: Record<string, number[]> = {};
    const timed = <T>(part: string, work: () => T): T => {
      const start = performance.now();
      const value = work();
      (parts[part] ??= []).push((performance.now() - start) * 1000);
      return value;
    };
    for (let i = 0; i < 100; i++) {
      createNamespace(`m${i}`);
      using netns = openNamespace(namespacePath(`m${i}`));
      timed("attach", () => {
        const { peerIndex } = timed("veth, peer, master, group, name", () => createVeth(rt, input(10 + i, netns)));
        using inside = timed("socket in the namespace", () => NetlinkSocket.open("route", { netns }));
        const side = { link: { index: peerIndex, name: "eth0" }, addresses: [cidr(`10.77.1.${i}/16`)], gateways: [ip("10.77.0.1")] };
        timed("up, address, route", () => configureGuestSide(inside, side));
      });
    }
    for (const [part, microseconds] of Object.entries(parts)) context.diagnostic(`${part}: p50 ${Math.round(median(microseconds))} us`);
    // Moving the peer instead of making it in place would wait as deleting a link does; both grow alike on a busy machine.
    for (let i = 0; i < 5; i++) timed("delete", () => deleteLink(rt, { index: getLink(rt, `n${10 + i}`)?.index ?? 0, name: `n${10 + i}` }));
    const [attach, deletion] = [median(parts["attach"] ?? []), median(parts["delete"] ?? [])];
    assert.ok(attach < deletion, `attach p50 ${attach} us, delete p50 ${deletion} us`);
    for (let i = 0; i < 100; i++) removeNamespace(`m${i}`);
  });
});

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0;
}
