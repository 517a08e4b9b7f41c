import { describe, test } from "node:test";
import assert from "node:assert/strict";
import { parseIp } from "../../../src/base/ip.ts";
import type { Ipv4 } from "../../../src/base/ipv4.ts";
import { type Mac, macToBytes, parseMac } from "../../../src/base/mac.ts";
import { isFault, parseIfName, parseName } from "../../../src/base/names.ts";
import { parsePrefix, type Prefix } from "../../../src/base/prefix.ts";
import { answerDhcp, speaksFor } from "../../../src/services/dhcp/answer.ts";
import type { DhcpGuest, DhcpNetwork } from "../../../src/services/dhcp/network.ts";
import { makeLease } from "../../../src/services/dhcp/reply-options.ts";
import { broadcastFlag, type DhcpMessage, dhcpType, encodeDhcp } from "../../../src/wire/dhcp/message.ts";
import { type DhcpOptionName, type DhcpOptionValue, readOption, writeOption } from "../../../src/wire/dhcp/options.ts";

const none = ip("0.0.0.0");
const gateway = ip("10.77.0.1");
const mac = parseMac("02:00:00:00:01:01") as Mac;
const guest: DhcpGuest = { mac, address: ip("10.77.0.10"), hostname: "web" };
const network: DhcpNetwork = {
  network: named(parseName("lan")),
  bridge: named(parseIfName("nexus0")),
  subnets: [
    { prefix: prefix("10.88.0.0/24"), gateway: ip("10.88.0.1") },
    { prefix: prefix("10.77.0.0/23"), gateway },
  ],
  domain: "lan.demo.nexus",
  mtuBytes: 1500,
  leaseSeconds: 3600,
};

describe("the answer to a DHCP request", () => {
  test("offers the guest's address from the gateway of its subnet, unicast unless the client asks otherwise", () => {
    const said = answer(request(dhcpType.discover));
    assert.deepEqual([said.kind, said.to, said.from], ["offer", guest.address, gateway]);
    assert.equal(said.message.yourAddress, guest.address);
    assert.deepEqual(values(said.message, "serverId", "leaseSeconds", "renewalSeconds", "rebindingSeconds", "subnetMask", "broadcast"), [
      gateway,
      3600,
      1800,
      3150,
      "255.255.254.0",
      "10.77.1.255",
    ]);
    assert.equal(answer(request(dhcpType.discover, {}, { flags: broadcastFlag })).to, "255.255.255.255");
  });

  test("offers the decided address whatever the client would like", () => {
    assert.equal(answer(request(dhcpType.discover, { requestedAddress: ip("10.77.0.77") })).message.yourAddress, guest.address);
  });

  test("skips a round for a client that offers to", () => {
    const said = answer(request(dhcpType.discover, { rapidCommit: true }));
    assert.equal(said.kind, "ack");
    assert.deepEqual(values(said.message, "messageType", "rapidCommit"), [dhcpType.ack, true]);
  });

  test("grants each state of a client what is its own", () => {
    const { address } = guest;
    const selecting = answer(request(dhcpType.request, { serverId: gateway, requestedAddress: address }));
    assert.deepEqual([selecting.kind, selecting.to, selecting.message.yourAddress], ["ack", address, address]);
    const rebooting = answer(request(dhcpType.request, { requestedAddress: address }));
    assert.deepEqual([rebooting.kind, rebooting.message.clientAddress], ["ack", none]);
    const renewing = answer(request(dhcpType.request, {}, { clientAddress: address, flags: broadcastFlag }));
    assert.deepEqual([renewing.kind, renewing.to, renewing.message.clientAddress], ["ack", address, address]);
  });

  test("refuses an address that is not the client's, to everybody and without settings", () => {
    const wrong = ip("10.77.0.11");
    const clientId = Uint8Array.of(1, 2, 3);
    for (const message of [
      request(dhcpType.request, { serverId: gateway, requestedAddress: wrong, clientId }),
      request(dhcpType.request, { requestedAddress: wrong, clientId }),
      request(dhcpType.request, { clientId }, { clientAddress: wrong }),
    ]) {
      const said = answer(message);
      assert.deepEqual([said.kind, said.to, said.message.yourAddress, said.message.clientAddress], ["nak", "255.255.255.255", none, none]);
      assert.deepEqual([...said.message.options.keys()], [53, 54, 56, 61]);
    }
  });

  test("leaves alone what is meant for another server, what servers send, and what asks for nothing", () => {
    const { address } = guest;
    const other = ip("10.77.0.2");
    for (const message of [
      request(dhcpType.request, { serverId: other, requestedAddress: address }),
      request(dhcpType.decline, { serverId: other, requestedAddress: address }),
      request(dhcpType.release, { serverId: other }, { clientAddress: address }),
      request(dhcpType.request, {}),
      request(dhcpType.offer, {}),
      request(13, {}),
      { ...request(dhcpType.discover), options: new Map() },
      request(dhcpType.inform, {}),
    ])
      assert.deepEqual(answerOf(message), { kind: "ignored" });
  });

  test("gives settings without a lease to a client that has an address from elsewhere", () => {
    for (const [clientAddress, source] of [
      [ip("10.77.0.200"), none],
      [none, ip("10.77.0.200")],
    ] as const) {
      const said = answer(request(dhcpType.inform, {}, { clientAddress }), source);
      assert.deepEqual([said.kind, said.to, said.message.yourAddress], ["ack", "10.77.0.200", none]);
      assert.deepEqual(values(said.message, "leaseSeconds", "renewalSeconds", "routers"), [undefined, undefined, [gateway]]);
    }
  });

  test("notes a decline and a release", () => {
    assert.equal(answerOf(request(dhcpType.decline, { serverId: gateway, requestedAddress: guest.address })).kind, "declined");
    assert.equal(answerOf(request(dhcpType.release, { serverId: gateway }, { clientAddress: guest.address })).kind, "released");
  });

  test("gives back the client's identifier and the relay's words, these last", () => {
    const clientId = Uint8Array.of(255, 1, 2);
    const relayInformation = Uint8Array.of(1, 1, 7);
    const { options } = answer(request(dhcpType.discover, { relayInformation, clientId })).message;
    assert.deepEqual(readOption(options, "clientId"), clientId);
    assert.deepEqual([...options].at(-1), [82, relayInformation]);
  });

  test("tells what was asked for in the client's order, and no more", () => {
    const parameters = Uint8Array.of(121, 15, 42, 6, 6, 53, 3, 1);
    const { options } = answer(request(dhcpType.discover, { parameters })).message;
    assert.deepEqual([...options.keys()], [53, 54, 51, 58, 59, 1, 121, 15, 6, 3]);
  });

  test("gives routes with the default route among them, and none where none leads out", () => {
    const routes = [{ destination: prefix("10.9.0.0/16"), via: gateway }];
    const all = answer(request(dhcpType.discover), none, { ...network, routes }).message;
    assert.deepEqual(values(all, "classlessRoutes"), [[...routes, { destination: prefix("0.0.0.0/0"), via: gateway }]]);
    const inner = answer(request(dhcpType.discover), none, { ...network, routes, defaultRoute: false }).message;
    assert.deepEqual(values(inner, "routers", "classlessRoutes"), [undefined, routes]);
    const second = answer(request(dhcpType.discover), none, network, { ...guest, defaultRoute: false }).message;
    assert.deepEqual(values(second, "routers", "classlessRoutes"), [undefined, undefined]);
  });

  test("leaves out what a small client cannot take, the last first", () => {
    const search = Array.from({ length: 30 }, (_, i) => `a-rather-long-domain-${i}.example`);
    const small = answer(request(dhcpType.discover), none, { ...network, search });
    assert.ok(encodeDhcp(small.message).length <= 548);
    assert.deepEqual(values(small.message, "search", "routers"), [undefined, [gateway]]);
    const large = answer(request(dhcpType.discover, { maxMessageBytes: 1500 }), none, { ...network, search });
    assert.deepEqual(values(large.message, "search"), [search]);
    const link = answer(request(dhcpType.discover, { maxMessageBytes: 65535 }), none, { ...network, search, mtuBytes: 600 });
    assert.deepEqual(values(link.message, "search"), [undefined]);
  });

  test("gives nothing to a guest whose address lies in no subnet", () => {
    assert.equal(makeLease(network, { ...guest, address: ip("10.1.1.1") }), undefined);
  });

  test("speaks only with the owner of the MAC a message names, never through relays", () => {
    assert.equal(speaksFor(request(dhcpType.discover), mac), true);
    assert.equal(speaksFor(request(dhcpType.discover), parseMac("02:00:00:00:01:02") as Mac), false);
    assert.equal(speaksFor(request(dhcpType.discover, {}, { op: 2 }), mac), false);
    assert.equal(speaksFor(request(dhcpType.discover, {}, { hardwareType: 6 }), mac), false);
    assert.equal(speaksFor(request(dhcpType.discover, {}, { relay: gateway }), mac), false);
  });
});

type Wanted = { [Option in DhcpOptionName]?: DhcpOptionValue<Option> };

function request(type: number, wanted: Wanted = {}, fields: Partial<DhcpMessage> = {}): DhcpMessage {
  const options = new Map<number, Uint8Array>();
  writeOption(options, "messageType", type);
  for (const [option, value] of Object.entries(wanted)) writeOption(options, option as DhcpOptionName, value as never);
  const header = { op: 1, hardwareType: 1, hops: 0, transaction: 0x1234, seconds: 3, flags: 0, serverName: "", bootFile: "" };
  const addresses = { clientAddress: none, yourAddress: none, nextServer: none, relay: none };
  return { ...header, ...addresses, hardwareAddress: macToBytes(mac), options, ...fields };
}

function answerOf(
  message: DhcpMessage,
  from: Ipv4 = none,
  of: DhcpNetwork = network,
  to: DhcpGuest = guest,
): ReturnType<typeof answerDhcp> {
  return answerDhcp(message, from, makeLease(of, to) ?? assert.fail("no lease"));
}

function answer(...input: Parameters<typeof answerOf>): Extract<ReturnType<typeof answerDhcp>, { message: DhcpMessage }> {
  const said = answerOf(...input);
  assert.ok("message" in said, said.kind);
  assert.deepEqual([said.message.op, said.message.transaction, said.message.seconds], [2, 0x1234, 0]);
  return said;
}

function values(message: DhcpMessage, ...names: DhcpOptionName[]): unknown[] {
  return names.map((option) => readOption(message.options, option));
}

function ip(text: string): Ipv4 {
  return (parseIp(text) ?? assert.fail(text)) as Ipv4;
}

function prefix(text: string): Prefix {
  const parsed = parsePrefix(text);
  assert.ok(typeof parsed === "string");
  return parsed;
}

function named<T>(parsed: T | { fault: string }): T {
  assert.ok(!isFault(parsed));
  return parsed;
}
