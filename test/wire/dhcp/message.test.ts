import { describe, test } from "node:test";
import assert from "node:assert/strict";
import { WireError } from "../../../src/base/errors.ts";
import { internetChecksum } from "../../../src/wire/dhcp/checksum.ts";
import { decodeDhcp, type DhcpMessage, encodeDhcp } from "../../../src/wire/dhcp/message.ts";
import { type DhcpOptionName, readOption, writeOption } from "../../../src/wire/dhcp/options.ts";
import { decodeUdp4, encodeUdp4 } from "../../../src/wire/dhcp/udp4.ts";
import { clientDiscover, clientRequest, dhclientDiscover, serverAck } from "./golden.ts";

describe("DHCP messages", () => {
  test("of udhcpc and dhclient read as what these ask for", () => {
    const discover = decodeDhcp(clientDiscover);
    assert.deepEqual([discover.op, discover.hardwareType, discover.transaction, discover.flags], [1, 1, 0xa2c2865a, 0]);
    assert.equal(Buffer.from(discover.hardwareAddress).toString("hex"), "020000000101");
    assert.deepEqual(values(discover, "messageType", "maxMessageBytes", "vendorClass", "requestedAddress"), [
      1,
      576,
      "udhcp 1.35.0",
      undefined,
    ]);
    assert.deepEqual(values(discover, "parameters"), [Uint8Array.of(1, 3, 6, 12, 15, 26, 28, 42, 119, 121)]);
    assert.deepEqual(values(decodeDhcp(clientRequest), "messageType", "requestedAddress", "serverId"), [3, "10.77.0.10", "10.77.0.1"]);
    const named = decodeDhcp(dhclientDiscover);
    assert.deepEqual(values(named, "hostname", "clientId"), ["cloned", Uint8Array.from(Buffer.from("cloned machine"))]);
  });

  test("of dnsmasq read as what it was told to say", () => {
    const ack = decodeDhcp(serverAck);
    assert.deepEqual([ack.op, ack.yourAddress, ack.nextServer, ack.relay], [2, "10.77.0.43", "10.77.0.1", "0.0.0.0"]);
    assert.deepEqual(values(ack, "messageType", "serverId", "leaseSeconds", "renewalSeconds", "rebindingSeconds"), [
      5,
      "10.77.0.1",
      3600,
      1800,
      3150,
    ]);
    assert.deepEqual(values(ack, "subnetMask", "broadcast", "routers"), ["255.255.255.0", "10.77.0.255", ["10.77.0.1"]]);
    assert.deepEqual(values(ack, "domain", "hostname", "mtuBytes", "search"), [
      "lan.demo.nexus",
      "web",
      1400,
      ["lan.demo.nexus", "demo.nexus"],
    ]);
    assert.deepEqual(readOption(ack.options, "classlessRoutes"), [
      { destination: "10.9.0.0/16", via: "10.77.0.2" },
      { destination: "0.0.0.0/0", via: "10.77.0.1" },
    ]);
  });

  test("are written the same, byte for byte, from what was read", () => {
    for (const bytes of [clientDiscover, clientRequest, dhclientDiscover, serverAck])
      assert.equal(Buffer.from(encodeDhcp(decodeDhcp(bytes))).toString("hex"), bytes.toString("hex"));
  });

  test("have each option written as dnsmasq writes it", () => {
    const { options } = decodeDhcp(serverAck);
    const names = [
      "subnetMask",
      "routers",
      "domain",
      "hostname",
      "mtuBytes",
      "broadcast",
      "leaseSeconds",
      "search",
      "classlessRoutes",
    ] as const;
    const again = new Map<number, Uint8Array>();
    for (const name of names) writeOption(again, name, readOption(options, name) as never);
    for (const [code, data] of again) assert.deepEqual(Buffer.from(data), Buffer.from(options.get(code) ?? []), `option ${code}`);
  });

  test("carry options in the fields of names too, and long ones in parts", () => {
    const long = Uint8Array.from({ length: 300 }, (_, i) => i);
    const written = encodeDhcp({ ...decodeDhcp(clientDiscover), options: new Map([[61, long]]) });
    assert.deepEqual([written[241], written[240 + 2 + 255 + 1]], [255, 45]);
    const bytes = Buffer.from(clientDiscover);
    bytes.set([52, 1, 3, 12, 2, ...Buffer.from("we"), 255], 240);
    bytes.set([12, 1, ...Buffer.from("b"), 255], 108);
    bytes.set([15, 3, ...Buffer.from("lan"), 255], 44);
    const message = decodeDhcp(bytes);
    assert.deepEqual([...values(message, "hostname", "domain"), message.serverName, message.bootFile], ["web", "lan", "", ""]);
    assert.equal(message.options.has(52), false);
  });

  test("are refused where lengths lie", () => {
    const faulty: [string, (bytes: Buffer) => Buffer][] = [
      ["short", (bytes) => bytes.subarray(0, 239)],
      ["without cookie", (bytes) => patched(bytes, 236, [0])],
      ["with 17 bytes of hardware address", (bytes) => patched(bytes, 2, [17])],
      ["an option past the end", (bytes) => patched(bytes, 240, [12, 200])],
      ["an option without length", (bytes) => patched(bytes.subarray(0, 241), 240, [12])],
      ["overload 4", (bytes) => patched(bytes, 240, [52, 1, 4, 255])],
    ];
    for (const [what, damage] of faulty) assert.throws(() => decodeDhcp(damage(Buffer.from(clientDiscover))), WireError, what);
    const malformed: [DhcpOptionName, number[]][] = [
      ["subnetMask", [1, 2, 3]],
      ["routers", []],
      ["routers", [1, 2, 3, 4, 5]],
      ["mtuBytes", [1]],
      ["leaseSeconds", [1, 2]],
      ["rapidCommit", [1]],
      ["search", [3, 65]],
      ["search", [192, 0]],
      ["classlessRoutes", [33, 1, 2, 3, 4, 5, 6, 7, 8, 9]],
      ["classlessRoutes", [24, 10, 9, 0, 10, 77]],
    ];
    const codes: Partial<Record<DhcpOptionName, number>> = {
      subnetMask: 1,
      routers: 3,
      mtuBytes: 26,
      leaseSeconds: 51,
      rapidCommit: 80,
      search: 119,
    };
    for (const [name, data] of malformed)
      assert.throws(() => readOption(new Map([[codes[name] ?? 121, Uint8Array.from(data)]]), name), WireError, `${name} ${data.join()}`);
  });
});

describe("DHCP packets", () => {
  /** The head of the packet in which udhcpc's kernel sent `clientDiscover`. */
  const head = Buffer.from("4500014800000000401179a600000000ffffffff0044004301343281", "hex");
  const packet = Buffer.concat([head, clientDiscover]);

  test("are read from the packets of real clients, whose checksums are ours", () => {
    assert.deepEqual(decodeUdp4(packet), {
      source: "0.0.0.0",
      destination: "255.255.255.255",
      sourcePort: 68,
      destinationPort: 67,
      payload: clientDiscover,
    });
    assert.equal(internetChecksum(packet.subarray(0, 20)), 0);
    assert.equal(internetChecksum(packet.subarray(12, 20), Buffer.from([0, 17, 0x01, 0x34]), packet.subarray(20)), 0);
    const ours = encodeUdp4(decodeUdp4(packet));
    // All but the identification and "don't fragment", which change the header's sum too.
    assert.equal(Buffer.from(ours.subarray(12)).toString("hex"), packet.subarray(12).toString("hex"));
    assert.equal(internetChecksum(ours.subarray(0, 20)), 0);
  });

  test("are read behind IP options, and not from fragments or with lengths that lie", () => {
    const options = Buffer.concat([patched(packet.subarray(0, 20), 0, [0x46]), Buffer.alloc(4, 1), packet.subarray(20)]);
    options.writeUInt16BE(options.length, 2);
    assert.equal(decodeUdp4(options).destinationPort, 67);
    for (const [at, bytes] of [
      [0, [0x65]],
      [0, [0x44]],
      [2, [0xff, 0xff]],
      [2, [0, 27]],
      [6, [0x20]],
      [7, [1]],
      [9, [6]],
      [24, [0, 7]],
      [24, [2, 0]],
    ] as const)
      assert.throws(() => decodeUdp4(patched(packet, at, bytes)), WireError, `${at}: ${bytes.join()}`);
  });
});

function values(message: DhcpMessage, ...names: DhcpOptionName[]): unknown[] {
  return names.map((name) => readOption(message.options, name));
}

function patched(bytes: Buffer, at: number, data: readonly number[]): Buffer {
  const out = Buffer.from(bytes);
  out.set(data, at);
  return out;
}
