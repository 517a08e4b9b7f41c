import { after, before, describe, test } from "node:test";
import assert from "node:assert/strict";
import { addAddress, listAddresses, removeAddress } from "../../src/kernel/addresses.ts";
import { changeLink, deleteLinkGroup } from "../../src/kernel/links.ts";
import { flushNeighbours, listNeighbours } from "../../src/kernel/neighbours.ts";
import { NetlinkSocket } from "../../src/kernel/netlink-socket.ts";
import { addRoute, listRoutes, lookupRoute, removeRoute } from "../../src/kernel/routes.ts";
import { bridge, cidr, group, ip, prefix, refusal, run, shown } from "./iproute.ts";

let rt: NetlinkSocket;
let link: ReturnType<typeof bridge>;

before(() => {
  rt = NetlinkSocket.open("route");
  link = bridge(rt);
  changeLink(rt, 1, { up: true });
  addAddress(rt, { link, cidr: cidr("10.77.0.1/24") });
  addAddress(rt, { link, cidr: cidr("fd00:77::1/64") });
});
after(() => {
  deleteLinkGroup(rt, group);
  rt[Symbol.dispose]();
});

describe("addresses", () => {
  test("are as asked, says `ip`: broadcast computed, IPv6 usable at once", () => {
    const [json] = shown("ip -j addr show nexus0");
    const four = json?.["addr_info"].find((address: Record<string, unknown>) => address["local"] === "10.77.0.1");
    const six = json?.["addr_info"].find((address: Record<string, unknown>) => address["local"] === "fd00:77::1");
    assert.deepEqual([four.prefixlen, four.broadcast, four.scope], [24, "10.77.0.255", "global"]);
    assert.deepEqual([six.prefixlen, six.nodad, six.tentative], [64, true, undefined]);
  });

  test("a /31 and a /32 have no broadcast address", () => {
    for (const text of ["192.0.2.0/31", "192.0.2.9/32"]) {
      addAddress(rt, { link, cidr: cidr(text) });
      const found = listAddresses(rt, { link: link.index }).find((address) => address.cidr === text);
      assert.equal(found?.broadcast, undefined);
      removeAddress(rt, { link, cidr: cidr(text) });
    }
  });

  test("come and go, carry our mark, and those `ip` adds do not", () => {
    run("ip addr add 192.0.2.1/24 dev nexus0");
    addAddress(rt, { link, cidr: cidr("198.51.100.1/24") });
    const protocols = Object.fromEntries(
      listAddresses(rt, { link: link.index, family: 4 }).map((address) => [address.cidr, address.protocol]),
    );
    assert.deepEqual(protocols, { "10.77.0.1/24": 78, "192.0.2.1/24": undefined, "198.51.100.1/24": 78 });
    removeAddress(rt, { link, cidr: cidr("192.0.2.1/24") });
    removeAddress(rt, { link, cidr: cidr("198.51.100.1/24") });
    assert.deepEqual(
      listAddresses(rt, { link: link.index, family: 4 }).map((address) => address.cidr),
      ["10.77.0.1/24"],
    );
    assert.throws(
      () => removeAddress(rt, { link, cidr: cidr("192.0.2.1/24") }),
      refusal("remove address 192.0.2.1/24 from nexus0: EADDRNOTAVAIL"),
    );
    assert.throws(() => addAddress(rt, { link, cidr: cidr("10.77.0.1/24") }), refusal("add address 10.77.0.1/24 to nexus0: EEXIST"));
    assert.throws(() => addAddress(rt, { link: 999, cidr: cidr("10.77.0.1/24") }), refusal("add address 10.77.0.1/24 to link 999: ENODEV"));
    assert.deepEqual(
      listAddresses(rt, { link: link.index, family: 6 })
        .map((address) => address.cidr)
        .includes(cidr("fd00:77::1/64")),
      true,
    );
  });
});

describe("routes", () => {
  test("are as asked, says `ip`, and are ours by protocol number", () => {
    addRoute(rt, { destination: prefix("10.99.0.0/16"), via: ip("10.77.0.2"), link, metric: 50, mtuBytes: 1200, source: ip("10.77.0.1") });
    addRoute(rt, { destination: prefix("fd99::/64"), via: ip("fd00:77::2"), link });
    addRoute(rt, { destination: prefix("10.98.0.0/16"), link });
    addRoute(rt, { destination: prefix("10.97.0.0/16"), type: "unreachable", table: 1000 });
    const [four] = shown("ip -j -d route show 10.99.0.0/16");
    assert.deepEqual(
      [four?.["gateway"], four?.["dev"], four?.["metric"], four?.["prefsrc"], four?.["metrics"][0].mtu],
      ["10.77.0.2", "nexus0", 50, "10.77.0.1", 1200],
    );
    assert.equal(shown("ip -j -d route show 10.98.0.0/16")[0]?.["scope"], "link");
    assert.equal(shown("ip -j -d route show table 1000")[0]?.["type"], "unreachable");
    const ours = listRoutes(rt, { protocol: 78 }).map(({ destination, table, metric, type }) => ({ destination, table, metric, type }));
    assert.deepEqual(ours, [
      { destination: "10.97.0.0/16", table: 1000, metric: undefined, type: "unreachable" },
      { destination: "10.98.0.0/16", table: 254, metric: undefined, type: "unicast" },
      { destination: "10.99.0.0/16", table: 254, metric: 50, type: "unicast" },
      { destination: "fd99::/64", table: 254, metric: 1024, type: "unicast" },
    ]);
    assert.deepEqual(
      shown("ip -j route show table all proto 78").map((route) => route["dst"]),
      ["10.97.0.0/16", "10.98.0.0/16", "10.99.0.0/16", "fd99::/64"],
    );
  });

  test("what others added is listed too: multipath, a gateway of the other family, every table", () => {
    run("ip route add 10.96.0.0/16 nexthop via 10.77.0.4 weight 2 nexthop via 10.77.0.5");
    run("ip route add 10.95.0.0/16 via inet6 fd00:77::9 dev nexus0");
    run("ip route add default via 10.77.0.3 table 4000000000");
    const all = listRoutes(rt);
    assert.deepEqual(all.find((route) => route.destination === "10.96.0.0/16")?.hops, [
      { gateway: "10.77.0.4", link: link.index, weight: 2 },
      { gateway: "10.77.0.5", link: link.index, weight: 1 },
    ]);
    assert.equal(all.find((route) => route.destination === "10.95.0.0/16")?.gateway, "fd00:77::9");
    assert.equal(all.find((route) => route.destination === "0.0.0.0/0")?.table, 4_000_000_000);
    assert.deepEqual(
      listRoutes(rt, { family: 4, table: 4_000_000_000 }).map((route) => route.destination),
      ["0.0.0.0/0"],
    );
    assert.deepEqual(listRoutes(rt, { table: 12345 }), []);
    assert.ok(listRoutes(rt, { link: 1 }).every((route) => route.link === 1));
  });

  test("a route through a gateway of the other family is made as `ip` makes it", () => {
    addRoute(rt, { destination: prefix("10.94.0.0/16"), via: ip("fd00:77::9"), link });
    assert.deepEqual(shown("ip -j route show 10.94.0.0/16")[0]?.["via"], { family: "inet6", host: "fd00:77::9" });
  });

  test("looks up where a packet would go; undefined when nowhere", () => {
    const found = lookupRoute(rt, ip("10.99.1.2"));
    assert.deepEqual([found?.gateway, found?.link, found?.source, found?.table], ["10.77.0.2", link.index, "10.77.0.1", 254]);
    assert.equal(lookupRoute(rt, ip("fd99::5"))?.gateway, "fd00:77::2");
    assert.equal(lookupRoute(rt, ip("10.77.0.1"))?.type, "local");
    assert.equal(lookupRoute(rt, ip("203.0.113.1")), undefined);
    assert.equal(lookupRoute(rt, ip("2001:db8::1")), undefined);
    for (const type of ["blackhole", "unreachable", "prohibit"] as const) {
      addRoute(rt, { destination: prefix("203.0.113.0/24"), type });
      addRoute(rt, { destination: prefix("2001:db8::/32"), type });
      assert.equal(lookupRoute(rt, ip("203.0.113.1")), undefined, type);
      assert.equal(lookupRoute(rt, ip("2001:db8::1")), undefined, type);
      removeRoute(rt, { destination: prefix("203.0.113.0/24"), type });
      removeRoute(rt, { destination: prefix("2001:db8::/32"), type });
    }
  });

  test("only our own are removed", () => {
    run("ip route add 10.93.0.0/16 via 10.77.0.2 proto static");
    assert.throws(() => removeRoute(rt, { destination: prefix("10.93.0.0/16") }), refusal("remove route 10.93.0.0/16: ESRCH"));
    for (const destination of ["10.99.0.0/16", "fd99::/64", "10.98.0.0/16", "10.94.0.0/16"])
      removeRoute(rt, { destination: prefix(destination) });
    removeRoute(rt, { destination: prefix("10.97.0.0/16"), type: "unreachable", table: 1000 });
    assert.deepEqual(listRoutes(rt, { protocol: 78 }), []);
    assert.deepEqual(shown("ip -j route show 10.93.0.0/16").length, 1);
  });

  test("a refusal says what was wrong", () => {
    addRoute(rt, { destination: prefix("10.92.0.0/16"), link });
    assert.throws(() => addRoute(rt, { destination: prefix("10.92.0.0/16"), link }), refusal("add route 10.92.0.0/16 on nexus0: EEXIST"));
    assert.throws(
      () => addRoute(rt, { destination: prefix("10.91.0.0/16"), via: ip("192.0.2.77") }),
      refusal("add route 10.91.0.0/16 via 192.0.2.77: ENETUNREACH (Network is unreachable): Nexthop has invalid gateway"),
    );
  });
});

describe("neighbours", () => {
  test("are listed as `ip` made them, and a flush spares the permanent ones and other links", () => {
    run("ip neigh add 10.77.0.9 lladdr 02:00:00:00:00:09 dev nexus0");
    run("ip neigh add 10.77.0.10 lladdr 02:00:00:00:00:0a dev nexus0 nud stale");
    run("ip neigh add fd00:77::10 lladdr 02:00:00:00:00:0b dev nexus0 nud reachable");
    const found = listNeighbours(rt, { link: link.index }).filter((neighbour) => neighbour.state !== "noArp");
    assert.deepEqual(found.map(({ address, mac, state }) => `${address} ${mac} ${state}`).toSorted(), [
      "10.77.0.10 02:00:00:00:00:0a stale",
      "10.77.0.9 02:00:00:00:00:09 permanent",
      "fd00:77::10 02:00:00:00:00:0b reachable",
    ]);
    assert.equal(flushNeighbours(rt, link), 2);
    assert.deepEqual(
      shown("ip -j neigh show dev nexus0").map((json) => json["dst"]),
      ["10.77.0.9"],
    );
    assert.equal(flushNeighbours(rt, link), 0);
  });
});
