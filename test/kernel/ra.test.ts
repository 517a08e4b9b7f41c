import { after, before, describe, test } from "node:test";
import assert from "node:assert/strict";
import { RaServer } from "../../src/services/ra/server.ts";
import type { RaNetwork } from "../../src/services/ra/network.ts";
import { ip6, lan, makeBridge, network6, plug, Program, until, Workshop } from "./dhcp-bed.ts";
import { mac, prefix, run, shown } from "./iproute.ts";

const web = { mac: mac("02:00:00:00:01:01"), address: ip6("fd00:77::10") };
const db = { mac: mac("02:00:00:00:01:02"), address: ip6("fd00:77::11") };
const router = "fe80::ff:fe00:1";

/** Real clients: the kernel's own router discovery and ISC dhclient. */
describe("a router and DHCPv6 server for a bridge", () => {
  const workshop = new Workshop();
  before(() => makeBridge());
  after(() => workshop[Symbol.dispose]());

  test("gives the kernel of a host its default route, MTU and on-link prefix, and no address to make up where they are decided", async () => {
    await using server = serve(network6);
    using _web = host("web", web.mac);
    await until("the default route is there", () => defaultRoutes("web").length > 0);
    assert.deepEqual(defaultRoutes("web"), [router]);
    assert.equal(mtu("web"), "1400");
    assert.ok(routes("web").includes("fd00:77::/64"));
    assert.deepEqual(globalAddresses("web"), []);
    assert.equal(server.metrics().solicitations, 1);
  });

  test("lets hosts make addresses of the prefix where that is wanted", async () => {
    for (const addressing of ["stateless", "slaac"] as const) {
      await using _ = serve({ ...network6, addressing });
      using _web = host("web", web.mac);
      await until("an address is there", () => globalAddresses("web").length > 0);
      assert.deepEqual(globalAddresses("web"), ["fd00:77::ff:fe00:101"]);
    }
  });

  test("gives no default route by a network that leads nowhere, nor by a guest's second interface", async () => {
    for (const [network, guest] of [
      [{ ...network6, defaultRoute: false }, web],
      [network6, { ...web, defaultRoute: false }],
    ] as const) {
      await using server = serve(network);
      server.addGuest(lan, guest);
      using _web = host("web", web.mac);
      await until("the prefix is there", () => routes("web").includes("fd00:77::/64"));
      assert.deepEqual(defaultRoutes("web"), []);
    }
  });

  test("tells known hosts of changes at once, and takes its routes back when the network goes, not when the daemon does", async () => {
    await using server = serve({ ...network6, routes: [prefix("fd00:99::/64")] });
    using _web = host("web", web.mac);
    await until("the default route is there", () => defaultRoutes("web").length > 0);
    await until("the other route is there", () => routes("web").includes("fd00:99::/64"));
    server.setNetwork({ ...network6, mtuBytes: 1300 });
    await until("the host has the new MTU", () => mtu("web") === "1300");
    await server[Symbol.asyncDispose]();
    assert.deepEqual(defaultRoutes("web"), [router]);
    await using next = serve({ ...network6, routes: [prefix("fd00:99::/64")] });
    next.removeNetwork(lan);
    await until("the default route is gone", () => defaultRoutes("web").length === 0);
    assert.ok(!routes("web").includes("fd00:99::/64"));
  });

  test("gives dhclient the decided address and settings, keeps it, and notes its release", async () => {
    await using server = serve(network6);
    using _web = host("web", web.mac);
    {
      await using client = dhclient6("web", "six");
      const said = await workshop.event("six.BOUND6");
      assert.deepEqual(
        [said["new_ip6_address"], said["new_dhcp6_name_servers"], said["new_dhcp6_domain_search"]],
        ["fd00:77::10", "fd00:77::1", "lan.demo.nexus."],
        client.words,
      );
      assert.deepEqual([said["new_max_life"], said["new_renew"], said["new_rebind"]], ["3600", "1800", "2880"]);
    }
    assert.deepEqual([server.metrics().offers, server.metrics().replies], [1, 1]);
    await using release = dhclient6("web", "six", ["-r"]);
    await release.ended();
    assert.equal(server.metrics().replies, 2, release.words);
  });

  test("gives clones with one DUID an address each, and settings alone to who asks for them", async () => {
    await using server = serve(network6);
    using _web = host("web", web.mac);
    using _db = host("db", db.mac);
    const duid = String.raw`default-duid "\000\004clonedmachine";`;
    for (const [client, { address }] of [
      ["web", web],
      ["db", db],
    ] as const) {
      workshop.file(`clone-${client}.leases`, `${duid}\n`);
      await using program = dhclient6(client, `clone-${client}`);
      assert.equal((await workshop.event(`clone-${client}.BOUND6`))["new_ip6_address"], address, program.words);
    }
    await using program = dhclient6("web", "stateless", ["-S"]);
    const said = await workshop.event("stateless.RENEW6");
    assert.equal(said["new_dhcp6_name_servers"], "fd00:77::1", program.words);
    assert.equal(server.metrics().unknown, 0);
  });

  test("says nothing to a MAC it was not told of", async () => {
    await using server = serve(network6);
    server.removeGuest(lan, db);
    using _db = host("db", db.mac);
    await using client = dhclient6("db", "stranger");
    await until("requests were heard", () => server.metrics().unknown > 1);
    assert.doesNotMatch(client.words, /RCV: (Advertise|Reply)/);
    assert.equal(server.metrics().offers, 0);
  });

  function serve(network: RaNetwork): RaServer {
    const server = new RaServer();
    server.setNetwork(network);
    server.addGuest(lan, web);
    server.addGuest(lan, db);
    return server;
  }

  function dhclient6(client: string, what: string, extra: readonly string[] = []): Program {
    const files = [
      "-sf",
      workshop.script(what),
      "-cf",
      workshop.file(`${what}.conf`, "request dhcp6.name-servers, dhcp6.domain-search;\n"),
    ];
    const leases = ["-lf", `${workshop.path}/${what}.leases`, "-pf", `${workshop.path}/${what}.pid`];
    return new Program(client, ["dhclient", "-6", "-1", "-d", "-v", ...extra, ...files, ...leases, "eth0"]);
  }
});

/** A host whose kernel listens to routers and asks for them without waiting. */
function host(client: string, address: typeof web.mac): Disposable {
  return plug(client, { mac: address, settings: { accept_ra: 1, accept_ra_rt_info_max_plen: 128, router_solicitation_delay: 0 } });
}

function defaultRoutes(client: string): unknown[] {
  return shown(`ip -n ${client} -6 -j route show default`).map((route) => route["gateway"]);
}

function routes(client: string): unknown[] {
  return shown(`ip -n ${client} -6 -j route show`).map((route) => route["dst"]);
}

function globalAddresses(client: string): unknown[] {
  const [link] = shown(`ip -n ${client} -6 -j addr show dev eth0 scope global`);
  return ((link?.["addr_info"] ?? []) as { local?: string }[]).flatMap((address) => address.local ?? []);
}

/** The MTU of IPv6 alone: that of the link stays. */
function mtu(client: string): string {
  return run(`ip netns exec ${client} busybox sysctl -n net.ipv6.conf.eth0.mtu`).trim();
}
