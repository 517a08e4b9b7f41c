import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { after, before, describe, test } from "node:test";
import type { GuestView, NetworkView } from "../../src/spec/views.ts";
import { Nexusd } from "./world/nexusd.ts";
import { assertSame, differencesOf, snapshot } from "./world/snapshot.ts";
import { until } from "./world/until.ts";

/** `{lan}` and the like stand for the names the daemon chose. */
type Mutation = {
  does: string;
  /** What the event that tells of the repair names. */
  named: string;
  /** "event": repaired without being asked, within a second. */
  seen: "event" | "reconcile";
};

const mutations: Mutation[] = [
  { does: "ip link del {lan}", named: "ip link add {lan}", seen: "event" },
  { does: "ip link set {lan} down", named: "{lan} up", seen: "event" },
  { does: "ip link set {lan} mtu 1400", named: "{lan} mtu 1500", seen: "event" },
  { does: "ip link set {lan} group 0", named: "{lan} group", seen: "event" },
  { does: "ip address del 10.31.0.1/24 dev {lan}", named: "10.31.0.1/24 dev {lan}", seen: "event" },
  { does: "ip address del {gateway6}/64 dev {lan}", named: "{gateway6}/64 dev {lan}", seen: "event" },
  { does: "ip address flush dev {lan}", named: "10.31.0.1/24 dev {lan}", seen: "event" },
  { does: "ip link set {lan} address 02:00:00:00:00:77", named: "{lan} address", seen: "reconcile" },
  { does: "ip link property del dev {lan} altname nexus:lan", named: "altname nexus:lan", seen: "reconcile" },
  { does: "ip address add 10.99.0.1/24 dev {lan}", named: "delete 10.99.0.1/24", seen: "reconcile" },
  { does: "ip link set {lan} down; ip link set {lan} name stolen", named: "ip link add {lan}", seen: "event" },
  { does: "ip route del 10.31.0.0/24 dev {lan}", named: "ip route add 10.31.0.0/24 dev {lan}", seen: "event" },
  { does: "ip -6 route flush dev {lan}; ip -6 route add fe80::/64 dev {lan} proto kernel", named: "metric 256", seen: "event" },
  { does: "ip link del {web}", named: "ip link add {web}", seen: "event" },
  { does: "ip link set {web} down", named: "{web} up", seen: "event" },
  { does: "ip link set {web} mtu 1400", named: "{web} mtu 1500", seen: "event" },
  { does: "ip link set {web} nomaster", named: "{web} master {lan}", seen: "event" },
  { does: "ip link set {room} nomaster", named: "{room} hairpin on isolated on", seen: "event" },
  { does: "ip link set {web} master {hotel}", named: "{web} master {lan}", seen: "event" },
  { does: "ip link set {web} master br-foreign", named: "{web} master {lan}", seen: "event" },
  { does: "ip link set {web} group 0", named: "{web} group", seen: "event" },
  { does: "ip link set {web} address 02:00:00:00:00:78", named: "{web} address", seen: "reconcile" },
  { does: "ip link property del dev {web} altname {webAlt}", named: "altname {webAlt}", seen: "reconcile" },
  { does: "ip link set {web} name stolen", named: "ip link add {web}", seen: "event" },
  { does: "bridge link set dev {web} hairpin off", named: "{web} hairpin on", seen: "reconcile" },
  {
    does: "ip link set {web} type bridge_slave group_fwd_mask 0",
    named: "{web} type bridge_slave group_fwd_mask 0xfffd",
    seen: "reconcile",
  },
  { does: "bridge link set dev {web} isolated on", named: "{web} hairpin on isolated off", seen: "reconcile" },
  { does: "bridge link set dev {room} isolated off", named: "{room} hairpin on isolated on", seen: "reconcile" },
  { does: "bridge link set dev {web} learning off flood off", named: "{web} hairpin on isolated off learning on", seen: "reconcile" },
  { does: "ip netns del nexus-web", named: "ip netns add nexus-web", seen: "event" },
  { does: "umount /run/netns/nexus-room", named: "ip netns add nexus-room", seen: "event" },
  { does: "ip -n nexus-web link del eth0", named: "ip link add {web}", seen: "event" },
  { does: "ip -n nexus-web link set eth0 down", named: "nexus-web link set dev eth0", seen: "reconcile" },
  { does: "ip -n nexus-web link set eth0 mtu 1400", named: "nexus-web link set dev eth0", seen: "reconcile" },
  { does: "ip -n nexus-web link set eth0 address 02:00:00:00:00:79", named: "nexus-web link set dev eth0", seen: "reconcile" },
  { does: "ip -n nexus-web link set lo down", named: "nexus-web link set dev lo up", seen: "reconcile" },
  { does: "ip -n nexus-web address flush dev eth0", named: "nexus-web address add 10.31.0.2/24", seen: "reconcile" },
  { does: "ip -n nexus-web route del default", named: "nexus-web route add default via 10.31.0.1", seen: "reconcile" },
  { does: "ip -n nexus-web -6 route del default", named: "nexus-web -6 route add default via {gateway6}", seen: "reconcile" },
  { does: "sysctl -q -w net.ipv4.ip_forward=0", named: "net.ipv4.ip_forward=1", seen: "reconcile" },
  { does: "sysctl -q -w net.ipv6.conf.all.forwarding=0", named: "net.ipv6.conf.all.forwarding=1", seen: "reconcile" },
  { does: "sysctl -q -w net.ipv4.conf.{lan}.route_localnet=0", named: "net.ipv4.conf.{lan}.route_localnet=1", seen: "reconcile" },
  { does: "sysctl -q -w net.ipv4.conf.{lan}.rp_filter=1", named: "net.ipv4.conf.{lan}.rp_filter=2", seen: "reconcile" },
  { does: "sysctl -q -w net.ipv6.conf.{lan}.accept_ra=1", named: "net.ipv6.conf.{lan}.accept_ra=0", seen: "reconcile" },
  { does: "sysctl -q -w net.ipv6.conf.{lan}.disable_ipv6=1", named: "net.ipv6.conf.{lan}.disable_ipv6=0", seen: "event" },
];

/** What an owner keeps from everybody else (Linux 6.9, NFT_TABLE_F_OWNER). */
const forbidden = [
  "delete table inet nexus",
  "flush table inet nexus",
  "delete chain inet nexus forward",
  "flush chain bridge nexus from_guest",
  "add rule inet nexus forward accept",
  "insert rule bridge nexus from_guest accept",
  "delete set inet nexus peers",
  "delete element inet nexus nat4 { 10.31.0.0/24 }",
  "add element inet nexus peers { {lan} . {hotel} }",
  "flush set bridge nexus mac",
];

describe("whatever becomes of what is ours, it is repaired and told", { timeout: 180_000 }, () => {
  let daemon: Nexusd;
  let whole: string[];
  let words: Record<string, string>;
  const settings = () => [
    "net/ipv4/ip_forward",
    "net/ipv6/conf/all/forwarding",
    ...["lan", "hotel"].flatMap((n) =>
      ["ipv4/conf/{}/route_localnet", "ipv4/conf/{}/rp_filter", "ipv6/conf/{}/disable_ipv6", "ipv6/conf/{}/accept_ra"].map(
        (key) => `net/${key.replace("{}", words[n] ?? "")}`,
      ),
    ),
  ];
  const look = () => snapshot(["nexus-web", "nexus-room", "nexus-foreign", "other"], settings());

  before(async () => {
    for (const line of foreign) shell(line);
    daemon = await Nexusd.start();
    const { client } = daemon;
    const lan: NetworkView = await client.call("network.create", {
      body: { name: "lan", subnets: [{ prefix: "10.31.0.0/24" }], ipv6: true },
    });
    const hotel: NetworkView = await client.call("network.create", {
      body: { name: "hotel", subnets: [{ prefix: "10.32.0.0/24" }], isolation: "guests" },
    });
    const web: GuestView = await client.call("attachment.create", {
      body: { name: "web", networks: [{ network: "lan" }], publish: [{ hostPort: 8080, guestPort: 80 }] },
    });
    const room: GuestView = await client.call("attachment.create", { body: { name: "room", networks: [{ network: "hotel" }] } });
    const veth = (guest: GuestView) => guest.attachments[0]?.hostInterface ?? assert.fail();
    words = {
      lan: lan.bridge,
      hotel: hotel.bridge,
      web: veth(web),
      room: veth(room),
      gateway6: lan.subnets[1]?.gateway ?? assert.fail(),
      webAlt: `nexus:lan:web:0:${veth(web)}`,
    };
    await client.call("reconcile");
    whole = look();
  });
  after(async () => {
    await daemon[Symbol.asyncDispose]();
  });

  for (const { does, named, seen } of mutations) {
    test(`${seen === "event" ? "by itself" : "when asked"}: ${does}`, async () => {
      const { client } = daemon;
      const since = (await daemon.eventsSince(0)).at(-1)?.id ?? 0;
      shell(fill(does));
      // What is repaired by itself may be so before it can be looked at: there the event proves that something was.
      if (seen === "reconcile") assert.notDeepEqual(differencesOf(look(), whole), [], "the mutation changes something");
      if (seen === "reconcile") await client.call("reconcile");
      try {
        // A bridge's ports and a new pair settle in a second comparison; nothing here may need the interval of half a minute.
        await until("the repair", () => differencesOf(look(), whole).length === 0, seen === "event" ? 3000 : 1000);
      } catch {
        await client.call("reconcile");
        const after = look();
        await client.call("reconcile");
        assertSame(look(), whole, "not even two reconciles repaired it");
        assertSame(after, whole, "one reconcile did not repair it");
        assert.fail("only a reconcile repaired it");
      }
      await until(`an event that names "${fill(named)}"`, async () => {
        const events = await daemon.eventsSince(since);
        return events.some((e) => e.kind === "repaired" && JSON.stringify(e.details).includes(fill(named)));
      });
      assert.deepEqual((await client.call("reconcile")).steps, [], "nothing is left to do");
    });
  }

  test("a foreign hand is kept from our tables by the kernel", async (t) => {
    const { features } = await daemon.client.call("info");
    if (features.find((f) => f.name === "owner-persist")?.present !== true)
      return t.skip("this kernel has no tables with an owner (Linux 6.9)");
    for (const line of forbidden) {
      const result = spawnSync("nft", [fill(line)], { encoding: "utf8" });
      assert.match(result.stderr, /Operation not permitted/, line);
    }
    assertSame(look(), whole, "not as before");
  });

  test("a foreign flush of everything takes what is foreign and leaves ours", async () => {
    shell("nft add table ip victim");
    spawnSync("nft", ["flush", "ruleset"]);
    assert.doesNotMatch(execFileSync("nft", ["list", "tables"], { encoding: "utf8" }), /victim/);
    for (const line of foreign.filter((l) => l.startsWith("nft"))) shell(line);
    await until("ours are there", () => differencesOf(look(), whole).length === 0, 2000);
  });

  test("everything at once is repaired at once", async () => {
    shell(
      fill("ip link del {lan}; ip link del {hotel}; ip netns del nexus-web; ip netns del nexus-room; sysctl -q -w net.ipv4.ip_forward=0"),
    );
    await daemon.client.call("reconcile");
    await until("all of it", () => differencesOf(look(), whole).length === 0, 3000);
    assert.deepEqual((await daemon.client.call("plan.pending")).steps, []);
  });

  test("what happened while no daemon ran is repaired by its start, and the guests' addresses are the same", async () => {
    await daemon.crashAndStart(() =>
      shell(fill("ip link del {lan}; ip link set {room} nomaster; ip netns del nexus-web; sysctl -q -w net.ipv4.ip_forward=0")),
    );
    assertSame(look(), whole, "not as before");
  });

  function fill(text: string): string {
    return text.replace(/\{(\w+)\}/g, (placeholder, key: string) => words[key] ?? placeholder);
  }
});

/** Of somebody else, some with names like ours. It stands in every snapshot, so nothing here may change it. */
const foreign = [
  "ip link set lo up",
  "ip link add br-foreign address 02:00:00:00:0f:01 type bridge",
  "ip link add nx-foreign address 02:00:00:00:0f:02 type bridge",
  "ip address add 192.0.2.1/24 dev br-foreign",
  "ip netns add nexus-foreign",
  "ip netns add other",
  "ip link add nforeign-web address 02:00:00:00:0f:03 master br-foreign type veth peer name eth0 address 02:00:00:00:0f:04 netns nexus-foreign",
  "nft 'table ip foreign { chain forward { type filter hook forward priority 0; policy accept; tcp dport 25 drop; }; }'",
];

function shell(line: string): void {
  execFileSync("sh", ["-ec", line], { stdio: ["ignore", "pipe", "pipe"] });
}
