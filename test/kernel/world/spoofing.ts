import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { linkLocalOf, type Mac } from "../../../src/base/mac.ts";
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
  udp4,
  udp6,
} from "./frames.ts";
import type { Place } from "./place.ts";
import { until } from "./until.ts";

/** What web puts on its wire, towards app on the same network. */
export type Sent = { name: string; frame: Buffer };
export type Refused = Sent & { rule: string };

/** Two guests of one network, which the first sends to the second on. */
export type Wire = {
  web: { mac: Mac; 4: string; 6: string };
  app: { mac: Mac; 4: string; 6: string };
  gateway: { 4: string; 6: string };
};

/** What web may send to app, and what it may not, with the rule that drops it. */
export function framesOf(wire: Wire): { honest: Sent[]; forged: Refused[] } {
  const [web, app] = [wire.web.mac, wire.app.mac];
  const [web4, app4, web6, app6] = [wire.web[4], wire.app[4], wire.web[6], wire.app[6]];
  const [gateway4, gateway6] = [wire.gateway[4], wire.gateway[6]];
  const mac = { from: web, to: app };
  const ports = { from: 4000, to: 4001 };
  const noMac = "00:00:00:00:00:00";
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
      {
        name: "a DHCP client without an address",
        frame: ethernet(
          { from: web, to: broadcast },
          etherType.ipv4,
          udp4({ from: "0.0.0.0", to: "255.255.255.255" }, { from: 68, to: 67 }),
        ),
      },
      {
        name: "ARP probe",
        frame: ethernet({ from: web, to: broadcast }, etherType.arp, arp("request", { mac: web, ip: "0.0.0.0" }, { mac: noMac, ip: web4 })),
      },
      { name: "duplicate address detection", frame: ethernet(mac, etherType.ipv6, neighbourSolicit(v6("::"), web6)) },
    ],
    forged: [
      refuse("foreign-mac", "another MAC", ethernet({ from: forgedMac, to: app }, etherType.ipv4, udp4({ from: web4, to: app4 }, ports))),
      refuse(
        "foreign-mac",
        "a neighbour's MAC",
        ethernet({ from: app, to: broadcast }, etherType.ipv4, udp4({ from: app4, to: app4 }, ports)),
      ),
      ...[0x00, 0x03, 0x0e].flatMap((group) => {
        const to = `01:80:c2:00:00:${group.toString(16).padStart(2, "0")}`;
        return [
          refuse("foreign-mac", `a neighbour's MAC to ${to}`, ethernet({ from: app, to }, etherType.experimental, Buffer.from("learn"))),
          refuse(
            "foreign-source-4",
            `an address from far away to ${to}`,
            ethernet({ from: web, to }, etherType.ipv4, udp4({ from: "8.8.8.8", to: gateway4 }, ports)),
          ),
          refuse(
            "router-advert",
            `a router advertisement to ${to}`,
            ethernet({ from: web, to }, etherType.ipv6, routerAdvert({ from: linkLocalOf(web), to: "ff02::1" })),
          ),
        ];
      }),
      refuse("foreign-source-4", "a neighbour's IPv4 address", ethernet(mac, etherType.ipv4, udp4({ from: app4, to: app4 }, ports))),
      refuse("foreign-source-4", "the gateway's IPv4 address", ethernet(mac, etherType.ipv4, udp4({ from: gateway4, to: app4 }, ports))),
      refuse("foreign-source-4", "an address from far away", ethernet(mac, etherType.ipv4, udp4({ from: "8.8.8.8", to: app4 }, ports))),
      refuse(
        "foreign-source-4",
        "no IPv4 address, but no DHCP client's packet either",
        ethernet({ from: web, to: broadcast }, etherType.ipv4, udp4({ from: "0.0.0.0", to: "255.255.255.255" }, { from: 68, to: 69 })),
      ),
      refuse(
        "foreign-source-4",
        "a DHCP client's packet to one neighbour",
        ethernet(mac, etherType.ipv4, udp4({ from: "0.0.0.0", to: app4 }, { from: 68, to: 67 })),
      ),
      refuse(
        "foreign-arp",
        "an ARP probe that names another MAC",
        ethernet(mac, etherType.arp, arp("request", { mac: forgedMac, ip: "0.0.0.0" }, { mac: noMac, ip: app4 })),
      ),
      refuse(
        "foreign-arp",
        "an ARP answer from no address",
        ethernet(mac, etherType.arp, arp("reply", { mac: web, ip: "0.0.0.0" }, { mac: app, ip: app4 })),
      ),
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
      refuse(
        "dhcp-answer-4",
        "a DHCP answer from another port",
        ethernet(mac, etherType.ipv4, udp4({ from: web4, to: app4 }, { from: 4067, to: 68 })),
      ),
      refuse(
        "dhcp-answer-6",
        "a DHCPv6 answer from another port",
        ethernet(mac, etherType.ipv6, udp6(v6(linkLocalOf(web)), { from: 4547, to: 546 })),
      ),
      refuse(
        "foreign-arp",
        "an ARP probe about a neighbour's address",
        ethernet({ from: web, to: broadcast }, etherType.arp, arp("request", { mac: web, ip: "0.0.0.0" }, { mac: noMac, ip: app4 })),
      ),
      refuse(
        "foreign-probe",
        "duplicate address detection about a neighbour's address",
        ethernet(mac, etherType.ipv6, neighbourSolicit(v6("::"), app6)),
      ),
      refuse(
        "headers-cut",
        "a router advertisement in a fragment behind another",
        ethernet(mac, etherType.ipv6, laterFragment(routerAdvert({ from: linkLocalOf(web), to: "ff02::1" }))),
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
  return ipv6(endsOf(packet), 0, Buffer.concat([Buffer.from([packet[6] ?? 0, 0, 1, 4, 0, 0, 0, 0]), packet.subarray(40)]));
}

/** Its content as the second and last fragment of a packet (RFC 8200 §4.5) whose first has destination options (60) of eight bytes. */
function laterFragment(packet: Buffer): Buffer {
  return ipv6(endsOf(packet), 44, Buffer.concat([Buffer.from([60, 0, 0, 8, 0, 0, 0, 7]), packet.subarray(40)]));
}

function endsOf(packet: Buffer) {
  const text = (bytes: Buffer) => (bytes.toString("hex").match(/.{4}/g) ?? []).join(":");
  return { from: text(packet.subarray(8, 24)), to: text(packet.subarray(24, 40)) };
}

/** What was wrong of all that web sent: a forged frame that arrived or was counted by another rule, an honest one that did not. */
export async function trySending(frames: { honest: Sent[]; forged: Refused[] }, from: Place, to: Place): Promise<string[]> {
  const { honest, forged } = frames;
  const wrong: string[] = [];
  for (const { name, frame } of honest) if (!(await arrives(frame, from, to))) wrong.push(`${name}: did not arrive`);
  for (const { name, frame, rule } of forged) {
    const before = dropped(rule);
    await from.send("eth0", frame);
    // Frames keep their order: when an honest one has arrived, a forged one before it would have.
    const seen = await arrivalsUpTo(honest[0]?.frame ?? assert.fail(), from, to);
    if (seen.some((f) => startsWith(f, frame))) wrong.push(`${name}: arrived`);
    if (dropped(rule) - before !== 1) wrong.push(`${name}: ${rule} counted ${dropped(rule) - before}`);
  }
  return wrong;
}

async function arrives(frame: Buffer, from: Place, to: Place): Promise<boolean> {
  await to.sniffed("eth0");
  await from.send("eth0", frame);
  try {
    await until("arrival", async () => (await to.sniffed("eth0")).some((f) => startsWith(f, frame)), 3000);
    return true;
  } catch {
    return false;
  }
}

async function arrivalsUpTo(honest: Buffer, from: Place, to: Place): Promise<Uint8Array[]> {
  const seen: Uint8Array[] = [];
  await from.send("eth0", honest);
  await until("the honest frame behind it arrives", async () => {
    seen.push(...(await to.sniffed("eth0")));
    return seen.some((f) => startsWith(f, honest));
  });
  return seen;
}

/** Without the padding, which a bridge may take off; what tells frames apart lies before. */
export function startsWith(found: Uint8Array, frame: Buffer): boolean {
  const length = Math.min(86, frame.length, found.length);
  return Buffer.compare(found.subarray(0, length), frame.subarray(0, length)) === 0;
}

function dropped(rule: string): number {
  return counted("bridge", "from_guest", rule);
}

export function counted(family: string, chain: string, rule: string): number {
  const out = execFileSync("nft", ["-j", "list", "chain", family, "nexus", chain], { encoding: "utf8" });
  const { nftables } = JSON.parse(out) as { nftables: { rule?: { comment?: string; expr: { counter?: { packets: number } }[] } }[] };
  const found = nftables.find((item) => item.rule?.comment?.split(" ")[0] === rule);
  return found?.rule?.expr.find((e) => e.counter !== undefined)?.counter?.packets ?? assert.fail(`no rule ${rule}`);
}
