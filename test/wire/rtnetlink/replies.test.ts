import { describe, test } from "node:test";
import assert from "node:assert/strict";
import { readAddress } from "../../../src/kernel/addresses.ts";
import { type Link, readLink } from "../../../src/kernel/link-view.ts";
import { readNeighbour } from "../../../src/kernel/neighbours.ts";
import { readRoute, type Route } from "../../../src/kernel/routes.ts";
import { routeMessage } from "../../../src/wire/rtnetlink/messages.ts";
import { captured, type Json } from "../../golden/captured.ts";

describe("what the kernel told `ip` reads as `ip` reads it", () => {
  const links = bodies("link-list", routeMessage.newLink).map(readLink);
  const byName = (name: string): Link => links.find((link) => link.name === name) ?? assert.fail(`no ${name}`);

  test("links: every field that `ip -d -s link` prints", () => {
    const shown = captured("rtnetlink", "link-list").json;
    assert.deepEqual(
      links.map((link) => link.name),
      shown.map((link) => link["ifname"]),
    );
    for (const json of shown) {
      const link = byName(json["ifname"]);
      assert.equal(link.index, json["ifindex"]);
      assert.equal(link.mac, json["address"]);
      assert.equal(link.mtuBytes, json["mtu"]);
      assert.equal(String(link.group), json["group"] === "default" ? "0" : json["group"]);
      assert.equal(link.master, json["master"] === undefined ? undefined : byName(json["master"]).index);
      assert.equal(link.up, json["flags"].includes("UP"));
      assert.equal(link.loopback, json["flags"].includes("LOOPBACK"));
      // `ip` shows it for links that are up.
      if (link.up) assert.equal(link.carrier, !json["flags"].includes("NO-CARRIER"), `carrier of ${link.name}`);
      assert.equal(link.operState, json["operstate"].toLowerCase().replace("lowerlayerdown", "lower-layer-down"));
      assert.equal(link.kind, json["linkinfo"]?.info_kind);
      assert.deepEqual(link.altNames, json["altnames"] ?? []);
      assert.equal(link.statistics?.receivedBytes, json["stats64"].rx.bytes);
      assert.equal(link.statistics?.sentPackets, json["stats64"].tx.packets);
      assert.equal(link.statistics?.sendDrops, json["stats64"].tx.dropped);
    }
  });

  test("a bridge's options", () => {
    const data = shownLink("nexus0")["linkinfo"].info_data;
    assert.deepEqual(byName("nexus0").bridge, {
      stp: data.stp_state === 1,
      forwardDelaySeconds: data.forward_delay / 100,
      ageingSeconds: data.ageing_time / 100,
      vlanFiltering: data.vlan_filtering === 1,
      multicastSnooping: data.mcast_snooping === 1,
      multicastQuerier: data.mcast_querier === 1,
      netfilterIpv4: data.nf_call_iptables === 1,
      netfilterIpv6: data.nf_call_ip6tables === 1,
      netfilterArp: data.nf_call_arptables === 1,
      groupForwardMask: Number(data.group_fwd_mask),
    });
    assert.equal(byName("nexus0").bridge?.multicastSnooping, false);
  });

  test("a bridge port's flags and the other end of its veth", () => {
    const shown = shownLink("nabc-web");
    const data = shown["linkinfo"].info_slave_data;
    const { port, peer } = byName("nabc-web");
    assert.deepEqual(port, {
      isolated: data.isolated,
      hairpin: data.hairpin,
      learning: data.learning,
      unicastFlood: data.flood,
      multicastFlood: data.mcast_flood,
      broadcastFlood: data.bcast_flood,
      neighbourSuppress: data.neigh_suppress,
      groupForwardMask: Number(data.group_fwd_mask),
      locked: data.locked,
    });
    assert.equal(port.isolated && port.locked, true);
    assert.deepEqual(peer, { index: shown["link_index"], netnsId: shown["link_netnsid"] });
  });

  test("a tap", () => {
    const data = shownLink("ntap0")["linkinfo"].info_data;
    assert.deepEqual(byName("ntap0").tun, { mode: data.type, persistent: data.persist, queues: 0 });
    assert.equal(byName("ntap0").tun?.mode, "tap");
  });

  test("addresses", () => {
    const shown = captured("rtnetlink", "addr-list").json.flatMap((link) =>
      (link["addr_info"] as Json[]).map((address): Json => ({ link: link["ifindex"], ...address })),
    );
    const read = bodies("addr-list", routeMessage.newAddress).map(readAddress);
    const plain = (cidr: string, link: number, more: { broadcast?: string; tentative: boolean }) => ({ cidr, link, ...more });
    assert.deepEqual(
      read
        .map(({ cidr, link, broadcast, tentative }) => plain(cidr, link, { ...(broadcast === undefined ? {} : { broadcast }), tentative }))
        .sort(byCidr),
      shown
        .map((json) =>
          plain(`${json["local"]}/${json["prefixlen"]}`, json["link"], {
            ...(json["broadcast"] === undefined ? {} : { broadcast: json["broadcast"] }),
            tentative: json["tentative"] === true,
          }),
        )
        .sort(byCidr),
    );
    assert.ok(read.every((address) => address.validSeconds === undefined));
  });

  for (const [golden, any] of [
    ["route4-list", "0.0.0.0/0"],
    ["route6-list", "::/0"],
  ] as const) {
    test(`routes of every table: ${golden}`, () => {
      const read = bodies(golden, routeMessage.newRoute).map(readRoute);
      const shown = captured("rtnetlink", golden).json;
      assert.deepEqual(
        read.map(plainRoute),
        shown.map((json) => shownRoute(json, any, links)),
      );
    });
  }

  test("the route of one lookup", () => {
    const [route] = bodies("route-get", routeMessage.newRoute).map(readRoute);
    const [json] = captured("rtnetlink", "route-get").json;
    assert.equal(route?.destination, `${json?.["dst"]}/32`);
    assert.equal(route.gateway, json?.["gateway"]);
    assert.equal(route.source, json?.["prefsrc"]);
    assert.equal(links.find((link) => link.index === route.link)?.name, json?.["dev"]);
  });

  test("neighbours", () => {
    const read = bodies("neigh-list", routeMessage.newNeighbour).map(readNeighbour);
    const shown = captured("rtnetlink", "neigh-list").json;
    const [permanent] = shown.filter((json) => json["state"].includes("PERMANENT"));
    assert.deepEqual(
      read.find((neighbour) => neighbour?.state === "permanent"),
      {
        link: byName(permanent?.["dev"]).index,
        address: permanent?.["dst"],
        mac: permanent?.["lladdr"],
        state: "permanent",
      },
    );
  });

  function shownLink(name: string): Json {
    return captured("rtnetlink", "link-list").json.find((json) => json["ifname"] === name) ?? assert.fail(`no ${name}`);
  }
});

function bodies(golden: string, type: number): Uint8Array[] {
  // The tools look single links up before they ask for the list: those answers are not part of a dump.
  const found = captured("rtnetlink", golden).received.filter((message) => message.type === type);
  const listed = found.filter((message) => (message.flags & 2) !== 0);
  return (listed.length > 0 ? listed : found).map((message) => message.body);
}

function byCidr(a: { cidr: string }, b: { cidr: string }): number {
  return a.cidr < b.cidr ? -1 : 1;
}

const tables: Record<string, number> = { main: 254, local: 255 };
const protocols: Record<string, number> = { kernel: 2, boot: 3, static: 4 };

function plainRoute(route: Route) {
  const { destination, type, table, protocol, gateway, link, metric, source, hops } = route;
  return { destination, type, table, protocol, gateway, link, metric, source, hops };
}

function shownRoute(json: Json, any: string, links: Link[]) {
  const host = any.includes(":") ? 128 : 32;
  const index = (name: string | undefined) => links.find((link) => link.name === name)?.index;
  return {
    destination: json["dst"] === "default" ? any : json["dst"].includes("/") ? json["dst"] : `${json["dst"]}/${host}`,
    type: json["type"],
    table: json["table"] === undefined ? 254 : (tables[json["table"]] ?? Number(json["table"])),
    protocol: protocols[json["protocol"]] ?? Number(json["protocol"]),
    gateway: json["gateway"],
    link: index(json["dev"]),
    metric: json["metric"],
    source: json["prefsrc"],
    hops: (json["nexthops"] as Json[] | undefined)?.map((hop) => ({
      gateway: hop["gateway"],
      link: index(hop["dev"]),
      weight: hop["weight"],
    })),
  };
}
