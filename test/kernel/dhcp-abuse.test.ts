import { before, describe, test } from "node:test";
import assert from "node:assert/strict";
import type { Ipv4 } from "../../src/base/ipv4.ts";
import { type Mac, macToBytes } from "../../src/base/mac.ts";
import { inNetns, openNamespace } from "../../src/kernel/namespaces.ts";
import { PacketSocket } from "../../src/kernel/packet-socket.ts";
import { DhcpServer } from "../../src/services/dhcp/server.ts";
import { decodeDhcp, dhcpType, encodeDhcp } from "../../src/wire/dhcp/message.ts";
import { readOption, writeOption } from "../../src/wire/dhcp/options.ts";
import { decodeUdp4, encodeUdp4 } from "../../src/wire/dhcp/udp4.ts";
import { ip4, lan, makeBridge, network4, plug, until } from "./dhcp-bed.ts";
import { mac, name } from "./iproute.ts";

const web = { mac: mac("02:00:00:00:01:01"), address: ip4("10.77.0.10"), hostname: "web" };
const db = { mac: mac("02:00:00:00:01:02"), address: ip4("10.77.0.11"), hostname: "db" };
const broadcast = mac("ff:ff:ff:ff:ff:ff");

describe("a DHCP server among hostile guests", () => {
  before(() => {
    makeBridge();
    plug("web", { mac: web.mac });
    plug("db", { mac: db.mac });
  });

  test("answers one guest no more often than a client asks, and the others all the while", async () => {
    await using server = serve();
    using flood = new Client("web");
    using honest = new Client("db");
    for (let i = 0; i < 500; i++) flood.send(discover(web.mac, i));
    honest.send(discover(db.mac, 1));
    await until("all was read", () => server.metrics().received === 501);
    const { offers, limited } = server.metrics();
    assert.equal(offers + limited, 501);
    assert.ok(offers > 10 && offers < 40, `${offers} offers`);
    assert.equal(honest.receive()?.yourAddress, db.address);
  });

  test("does not speak to a guest in another's name, nor through relays it does not know", async () => {
    await using server = serve();
    using thief = new Client("web");
    using victim = new Client("db");
    thief.send(discover(db.mac, 1));
    thief.send(discover(web.mac, 2, { relay: ip4("10.77.0.200") }));
    await until("both were read", () => server.metrics().received === 2);
    assert.deepEqual([server.metrics().foreign, server.metrics().offers], [2, 0]);
    assert.deepEqual([thief.receive(), victim.receive()], [undefined, undefined]);
  });

  test("counts what is no DHCP message and goes on", async () => {
    await using server = serve();
    using client = new Client("web");
    client.send(new Uint8Array(0));
    client.send(Buffer.alloc(239, 1));
    client.send(Buffer.concat([discover(web.mac, 1).subarray(0, 240), Buffer.of(12, 250, 1)]));
    client.send(discover(web.mac, 4));
    await until("the last was answered", () => server.metrics().offers === 1);
    assert.equal(server.metrics().malformed, 3);
    const offer = client.receive();
    assert.deepEqual([offer?.transaction, offer && readOption(offer.options, "messageType")], [4, dhcpType.offer]);
  });

  function serve(): DhcpServer {
    const server = new DhcpServer();
    server.setNetwork(network4);
    server.addGuest(lan, web);
    server.addGuest(lan, db);
    return server;
  }
});

/** A guest that sends what it likes, at Ethernet's level. */
class Client implements Disposable {
  readonly #socket: PacketSocket;

  constructor(netns: string) {
    using namespace = openNamespace(`/run/netns/${netns}`);
    const wish = { protocol: "ipv4" as const, udpPort: 68 };
    this.#socket = inNetns(namespace, () => new PacketSocket({ interface: name("eth0"), wish, receiveBytes: 1 << 20 }));
  }

  send(payload: Uint8Array): void {
    const way = { source: none, destination: ip4("255.255.255.255"), sourcePort: 68, destinationPort: 67 };
    assert.ok(this.#socket.send(broadcast, encodeUdp4({ ...way, payload })));
  }

  /** The next reply that waits already. */
  receive(): ReturnType<typeof decodeDhcp> | undefined {
    const received = this.#socket.receive();
    return received === undefined || received === "down" ? undefined : decodeDhcp(decodeUdp4(received.packet).payload);
  }

  [Symbol.dispose](): void {
    this.#socket[Symbol.dispose]();
  }
}

function discover(from: Mac, transaction: number, fields: { relay?: Ipv4 } = {}): Uint8Array {
  const options = new Map<number, Uint8Array>();
  writeOption(options, "messageType", dhcpType.discover);
  const head = { op: 1, hardwareType: 1, hops: 0, transaction, seconds: 0, flags: 0, serverName: "", bootFile: "" };
  const addresses = { clientAddress: none, yourAddress: none, nextServer: none, relay: none };
  return encodeDhcp({ ...head, ...addresses, hardwareAddress: macToBytes(from), options, ...fields });
}

const none = ip4("0.0.0.0");
