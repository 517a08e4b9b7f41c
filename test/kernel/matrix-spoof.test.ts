import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { after, before, describe, test } from "node:test";
import { linkLocalOf, type Mac } from "../../src/base/mac.ts";
import {
  arp,
  broadcast,
  ethernet,
  etherType,
  ipv6,
  neighbourAdvert,
  neighbourSolicit,
  redirect,
  routerAdvert,
  tagged,
  tcpSyn4,
  udp4,
  udp6,
} from "./world/frames.ts";
import { host, outside, published, setBridgeNetfilter, World } from "./world/topology.ts";
import { until } from "./world/until.ts";

/** What web puts on its wire, towards app on the same network. */
type Sent = { name: string; frame: Buffer };
type Refused = Sent & { rule: string };

describe("a guest sends only what it may", { timeout: 120_000 }, () => {
  let world: World;
  before(async () => {
    world = await World.make();
    await world.place("app").sniff("eth0");
  });
  after(async () => {
    await world[Symbol.asyncDispose]();
  });

  for (const bridgeNetfilter of [0, 1] as const) {
    test(`bridge-nf-call ${bridgeNetfilter}: forged frames are dropped, each by its rule, and honest ones pass`, async () => {
      setBridgeNetfilter(bridgeNetfilter);
      const { honest, forged } = framesOf(world);
      const wrong: string[] = [];
      for (const { name, frame } of honest) if (!(await arrives(world, frame))) wrong.push(`${name}: did not arrive`);
      for (const { name, frame, rule } of forged) {
        const before = dropped(rule);
        await world.place("web").send("eth0", frame);
        // Frames keep their order: when an honest one has arrived, a forged one before it would have.
        const seen = await arrivalsUpTo(world, honest[0]?.frame ?? assert.fail());
        if (seen.some((f) => startsWith(f, frame))) wrong.push(`${name}: arrived`);
        if (dropped(rule) - before !== 1) wrong.push(`${name}: ${rule} counted ${dropped(rule) - before}`);
      }
      assert.equal(wrong.length, 0, wrong.join("\n"));
    });
  }

  test("a network without IPv6 carries none between its guests", async () => {
    await world.place("old2").sniff("eth0");
    const [from, to] = [macOf(world, "old1"), macOf(world, "old2")];
    const six = ethernet({ from, to }, etherType.ipv6, udp6({ from: linkLocalOf(from), to: linkLocalOf(to) }, { from: 1, to: 2 }));
    const four = ethernet(
      { from, to },
      etherType.ipv4,
      udp4({ from: world.address("old1", 4), to: world.address("old2", 4) }, { from: 1, to: 2 }),
    );
    await world.place("old1").send("eth0", six, four);
    const seen: Uint8Array[] = [];
    await until("the IPv4 frame arrives", async () => {
      seen.push(...(await world.place("old2").sniffed("eth0")));
      return seen.some((f) => startsWith(f, four));
    });
    assert.equal(
      seen.some((f) => startsWith(f, six)),
      false,
    );
  });

  test("a loopback publish cannot be had by packets to 127.0.0.1, neither from outside nor from a guest", async () => {
    await world.place("app").sniff("eth0");
    await world.place("web").sniff("eth0");
    const ports = (from: number) => ({ from, to: published.loopback });
    const before = counted("inet", "guard", "loopback-from-guest");
    await world
      .place("app")
      .send(
        "eth0",
        ethernet(
          { from: macOf(world, "app"), to: world.network("lan").mac },
          etherType.ipv4,
          tcpSyn4({ from: world.address("app", 4), to: "127.0.0.1" }, ports(41001)),
        ),
      );
    assert.equal(counted("inet", "guard", "loopback-from-guest") - before, 1);

    const [link] = JSON.parse(execFileSync("ip", ["-j", "link", "show", "uplink"], { encoding: "utf8" })) as { address: string }[];
    const [theirs] = JSON.parse(execFileSync("ip", ["-n", "outside", "-j", "link", "show", "eth0"], { encoding: "utf8" })) as {
      address: string;
    }[];
    const mac = { from: theirs?.address ?? "", to: link?.address ?? "" };
    const outsideSyn = (to: string, port: number, from: number) =>
      ethernet(mac, etherType.ipv4, tcpSyn4({ from: outside[4], to }, { from, to: port }));
    await world
      .place("outside")
      .send("eth0", outsideSyn("127.0.0.1", published.loopback, 41002), outsideSyn(host[4], published.any, 41003));
    const seen: number[] = [];
    await until("the connection to the published port arrives", async () => {
      for (const frame of await world.place("web").sniffed("eth0"))
        if (frame[12] === 8 && frame[23] === 6) seen.push(Buffer.from(frame).readUInt16BE(34));
      return seen.includes(41003);
    });
    assert.equal(seen.includes(41001) || seen.includes(41002), false);
  });
});

function framesOf(world: World): { honest: Sent[]; forged: Refused[] } {
  const [web, app] = [macOf(world, "web"), macOf(world, "app")];
  const [web4, app4, web6, app6] = [world.address("web", 4), world.address("app", 4), world.address("web", 6), world.address("app", 6)];
  const [gateway4, gateway6] = [world.gateway("lan", 4), world.gateway("lan", 6)];
  const mac = { from: web, to: app };
  const ports = { from: 4000, to: 4001 };
  const forgedMac = "02:00:5e:00:53:99";
  const v6 = (from: string) => ({ from, to: app6 });
  const refuse = (rule: string, name: string, frame: Buffer): Refused => ({ rule, name, frame });
  return {
    honest: [
      { name: "IPv4", frame: ethernet(mac, etherType.ipv4, udp4({ from: web4, to: app4 }, ports)) },
      { name: "IPv6", frame: ethernet(mac, etherType.ipv6, udp6(v6(web6), ports)) },
      { name: "IPv6 from the link-local address", frame: ethernet(mac, etherType.ipv6, udp6(v6(linkLocalOf(web)), ports)) },
      { name: "ARP", frame: ethernet(mac, etherType.arp, arp("reply", { mac: web, ip: web4 }, { mac: app, ip: app4 })) },
      { name: "neighbour advertisement", frame: ethernet(mac, etherType.ipv6, neighbourAdvert(v6(web6), { ip: web6, mac: web })) },
      { name: "neighbour advertisement without the option", frame: ethernet(mac, etherType.ipv6, neighbourAdvert(v6(web6), { ip: web6 })) },
      { name: "duplicate address detection", frame: ethernet(mac, etherType.ipv6, neighbourSolicit(v6("::"), web6)) },
    ],
    forged: [
      refuse("foreign-mac", "another MAC", ethernet({ from: forgedMac, to: app }, etherType.ipv4, udp4({ from: web4, to: app4 }, ports))),
      refuse(
        "foreign-mac",
        "a neighbour's MAC",
        ethernet({ from: app, to: broadcast }, etherType.ipv4, udp4({ from: app4, to: app4 }, ports)),
      ),
      refuse("foreign-source-4", "a neighbour's IPv4 address", ethernet(mac, etherType.ipv4, udp4({ from: app4, to: app4 }, ports))),
      refuse("foreign-source-4", "the gateway's IPv4 address", ethernet(mac, etherType.ipv4, udp4({ from: gateway4, to: app4 }, ports))),
      refuse("foreign-source-4", "an address from far away", ethernet(mac, etherType.ipv4, udp4({ from: "8.8.8.8", to: app4 }, ports))),
      refuse("foreign-source-6", "the gateway's IPv6 address", ethernet(mac, etherType.ipv6, udp6(v6(gateway6), ports))),
      refuse("foreign-source-6", "a neighbour's link-local address", ethernet(mac, etherType.ipv6, udp6(v6(linkLocalOf(app)), ports))),
      refuse("foreign-source-6", "no IPv6 address", ethernet(mac, etherType.ipv6, udp6(v6("::"), ports))),
      refuse(
        "foreign-arp",
        "ARP for the gateway",
        ethernet(mac, etherType.arp, arp("reply", { mac: web, ip: gateway4 }, { mac: app, ip: app4 })),
      ),
      refuse(
        "foreign-arp",
        "ARP that names another MAC",
        ethernet(mac, etherType.arp, arp("request", { mac: forgedMac, ip: web4 }, { mac: broadcast, ip: app4 })),
      ),
      refuse(
        "foreign-neighbour",
        "a neighbour advertisement for the gateway",
        ethernet(mac, etherType.ipv6, neighbourAdvert(v6(web6), { ip: gateway6, mac: web })),
      ),
      refuse(
        "foreign-neighbour",
        "a neighbour advertisement for the gateway without the option",
        ethernet(mac, etherType.ipv6, neighbourAdvert(v6(web6), { ip: gateway6 })),
      ),
      refuse(
        "foreign-source-6",
        "a neighbour solicitation as the gateway",
        ethernet(mac, etherType.ipv6, neighbourSolicit(v6(gateway6), app6)),
      ),
      refuse(
        "router-advert",
        "a router advertisement",
        ethernet(mac, etherType.ipv6, routerAdvert({ from: linkLocalOf(web), to: "ff02::1" })),
      ),
      refuse(
        "router-advert",
        "a router advertisement behind an extension header",
        ethernet(mac, etherType.ipv6, hopByHop(routerAdvert({ from: linkLocalOf(web), to: "ff02::1" }))),
      ),
      refuse(
        "router-advert",
        "a redirect",
        ethernet(mac, etherType.ipv6, redirect(v6(linkLocalOf(web)), { target: web6, destination: "2001:db8:51::2" })),
      ),
      refuse(
        "dhcp-server-4",
        "a DHCP server's answer",
        ethernet({ from: web, to: broadcast }, etherType.ipv4, udp4({ from: web4, to: "255.255.255.255" }, { from: 67, to: 68 })),
      ),
      refuse(
        "dhcp-server-6",
        "a DHCPv6 server's answer",
        ethernet(mac, etherType.ipv6, udp6(v6(linkLocalOf(web)), { from: 547, to: 546 })),
      ),
      refuse("foreign-protocol", "a protocol of its own", ethernet(mac, etherType.experimental, Buffer.from("hello"))),
      refuse(
        "foreign-protocol",
        "a forged address behind a VLAN tag",
        ethernet(mac, etherType.vlan, tagged(5, etherType.ipv4, udp4({ from: gateway4, to: app4 }, ports))),
      ),
      refuse(
        "foreign-protocol",
        "a forged address behind a priority tag",
        ethernet(mac, etherType.vlan, tagged(0, etherType.ipv4, udp4({ from: gateway4, to: app4 }, ports))),
      ),
    ],
  };
}

/** The same packet with an empty hop-by-hop header before its content (RFC 8200 §4.3). */
function hopByHop(packet: Buffer): Buffer {
  const text = (bytes: Buffer) => (bytes.toString("hex").match(/.{4}/g) ?? []).join(":");
  const ends = { from: text(packet.subarray(8, 24)), to: text(packet.subarray(24, 40)) };
  return ipv6(ends, 0, Buffer.concat([Buffer.from([packet[6] ?? 0, 0, 1, 4, 0, 0, 0, 0]), packet.subarray(40)]));
}

async function arrives(world: World, frame: Buffer): Promise<boolean> {
  await world.place("app").sniffed("eth0");
  await world.place("web").send("eth0", frame);
  try {
    await until("arrival", async () => (await world.place("app").sniffed("eth0")).some((f) => startsWith(f, frame)), 3000);
    return true;
  } catch {
    return false;
  }
}

async function arrivalsUpTo(world: World, honest: Buffer): Promise<Uint8Array[]> {
  const seen: Uint8Array[] = [];
  await world.place("web").send("eth0", honest);
  await until("the honest frame behind it arrives", async () => {
    seen.push(...(await world.place("app").sniffed("eth0")));
    return seen.some((f) => startsWith(f, honest));
  });
  return seen;
}

/** Without the padding, which a bridge may take off; what tells frames apart lies before. */
function startsWith(found: Uint8Array, frame: Buffer): boolean {
  const length = Math.min(86, frame.length, found.length);
  return Buffer.compare(found.subarray(0, length), frame.subarray(0, length)) === 0;
}

function dropped(rule: string): number {
  return counted("bridge", "from_guest", rule);
}

function counted(family: string, chain: string, rule: string): number {
  const out = execFileSync("nft", ["-j", "list", "chain", family, "nexus", chain], { encoding: "utf8" });
  const { nftables } = JSON.parse(out) as { nftables: { rule?: { comment?: string; expr: { counter?: { packets: number } }[] } }[] };
  const found = nftables.find((item) => item.rule?.comment?.split(" ")[0] === rule);
  return found?.rule?.expr.find((e) => e.counter !== undefined)?.counter?.packets ?? assert.fail(`no rule ${rule}`);
}

function macOf(world: World, guest: string): Mac {
  return world.guest(guest).attachments[0]?.mac ?? assert.fail(guest);
}
