import { after, before, describe, test } from "node:test";
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { isDeepStrictEqual } from "node:util";
import { DhcpServer } from "../../src/services/dhcp/server.ts";
import { RaServer } from "../../src/services/ra/server.ts";
import { ip4, ip6, lan, makeBridge, network4, network6, plug, Program, until, Workshop } from "./dhcp-bed.ts";
import { mac, run, shown } from "./iproute.ts";

const guest = { mac: mac("02:00:00:00:01:01"), hostname: "web" };

/** systemd-networkd runs without systemd where /sys is read-only, as in a container: it waits for no udev then. */
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
    await using _networkd = new Program("web", ["unshare", "-m", "sh", workshop.file("networkd.sh", script(workshop.path))]);
    const wanted = ["10.77.0.10", "fd00:77::10"];
    await until("networkd has both addresses", () => isDeepStrictEqual(globalAddresses(), wanted) && / fd00:77::1$/m.test(state(workshop)));
    assert.equal(shown("ip -n web -j route show default")[0]?.["gateway"], "10.77.0.1");
    assert.match(run("ip -n web -6 route show default"), /via fe80::ff:fe00:1 .* mtu 1400/);
    const said = state(workshop);
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

/** What networkd knows, copied to where this side sees it; empty until there is anything. */
function state(workshop: Workshop): string {
  try {
    return readFileSync(`${workshop.path}/state`, "utf8");
  } catch {
    return "";
  }
}

function script(directory: string): string {
  return `
mount --make-rprivate /
mount -o remount,bind,ro /sys
mount -t tmpfs tmpfs /run
mkdir -p /run/dbus /run/systemd/network /run/systemd/netif
chown systemd-network:systemd-network /run/systemd/netif
printf '[Match]\\nName=eth0\\n[Network]\\nDHCP=yes\\n[DHCPv4]\\nUseDomains=yes\\n' > /run/systemd/network/10-eth0.network
while kill -0 $$; do
  cat /run/systemd/netif/links/* > ${directory}/next && mv ${directory}/next ${directory}/state
  sleep 0.1
done > /dev/null 2>&1 &
exec /lib/systemd/systemd-networkd
`;
}
