import { after, before, describe, test } from "node:test";
import assert from "node:assert/strict";
import { isDeepStrictEqual } from "node:util";
import { DhcpServer } from "../../src/services/dhcp/server.ts";
import { RaServer } from "../../src/services/ra/server.ts";
import { ip4, ip6, lan, makeBridge, network4, network6, plug, Program, until, Workshop } from "./dhcp-bed.ts";
import { mac, run, shown } from "./iproute.ts";
import { networkdIn, networkdState } from "./networkd.ts";

const guest = { mac: mac("02:00:00:00:01:01"), hostname: "web" };

describe("systemd-networkd as a client", () => {
  const workshop = new Workshop();
  before(() => makeBridge());
  after(() => workshop[Symbol.dispose]());

  test("gets its IPv4 and IPv6 addresses, routes, resolvers, domains and name", async () => {
    await using server4 = new DhcpServer();
    server4.setNetwork(network4);
    server4.addGuest(lan, { ...guest, address: ip4("10.77.0.10") });
    await using server6 = new RaServer();
    server6.setNetwork(network6);
    server6.addGuest(lan, { ...guest, address: ip6("fd00:77::10") });
    using _ = plug("web", { mac: guest.mac });
    await using _networkd = new Program("web", networkdIn(workshop));
    const wanted = ["10.77.0.10", "fd00:77::10"];
    await until(
      "networkd has both addresses",
      () => isDeepStrictEqual(globalAddresses(), wanted) && / fd00:77::1$/m.test(networkdState(workshop)),
    );
    assert.equal(shown("ip -n web -j route show default")[0]?.["gateway"], "10.77.0.1");
    assert.match(run("ip -n web -6 route show default"), /via fe80::ff:fe00:1 .* mtu 1400/);
    const said = networkdState(workshop);
    assert.match(said, /^DNS=10\.77\.0\.1 fd00:77::1/m);
    assert.match(said, /^DOMAINS=lan\.demo\.nexus/m);
    const { naks, unknown, malformed } = server4.metrics();
    assert.deepEqual([naks, unknown, malformed, server6.metrics().malformed], [0, 0, 0, 0]);
  });
});

function globalAddresses(): string[] {
  const [link] = shown("ip -n web -j addr show dev eth0");
  const all = (link?.["addr_info"] ?? []) as { local: string; scope: string }[];
  return all.flatMap(({ local, scope }) => (scope === "global" ? [local] : [])).toSorted();
}
