import { describe, test } from "node:test";
import assert from "node:assert/strict";
import { parseIp } from "../../../src/base/ip.ts";
import type { Ipv6 } from "../../../src/base/ipv6.ts";
import { type Mac, parseMac } from "../../../src/base/mac.ts";
import { isFault, parseIfName, parseName } from "../../../src/base/names.ts";
import { parsePrefix, type Prefix } from "../../../src/base/prefix.ts";
import { answerDhcp6, type Dhcp6Asked } from "../../../src/services/ra/answer.ts";
import type { RaNetwork } from "../../../src/services/ra/network.ts";
import { type Dhcp6Message, dhcp6OptionOf, dhcp6Status, dhcp6Type, duidOfMac } from "../../../src/wire/dhcp6/message.ts";
import type { Dhcp6Option } from "../../../src/wire/dhcp6/options.ts";

const mac = parseMac("02:00:00:00:01:01") as Mac;
const client: Dhcp6Option = { kind: "client-id", duid: Uint8Array.of(0, 4, 9, 9) };
const serverDuid = duidOfMac(parseMac("02:00:00:00:00:01") as Mac);
const server: Dhcp6Option = { kind: "server-id", duid: serverDuid };
const own = ip("fd00:77::10");
const network: RaNetwork = {
  network: named(parseName("lan")),
  bridge: named(parseIfName("nexus0")),
  subnets: [{ prefix: prefix("fd00:77::/64"), gateway: ip("fd00:77::1") }],
  addressing: "stateful",
  domain: "lan.demo.nexus",
  mtuBytes: 1500,
  leaseSeconds: 3600,
};

describe("the answer to a DHCPv6 request", () => {
  test("offers the guest's address for its association, with the highest preference", () => {
    const said = answer(dhcp6Type.solicit, [client, wanting()]);
    assert.equal(said.type, dhcp6Type.advertise);
    assert.deepEqual(said.options, [
      client,
      server,
      { kind: "preference", value: 255 },
      { kind: "non-temporary", id: 7, renewSeconds: 1800, rebindSeconds: 2880, options: [leased(own, 3600)] },
      { kind: "dns-servers", servers: ["fd00:77::1"] },
      { kind: "domains", domains: ["lan.demo.nexus"] },
    ]);
  });

  test("skips a round for a client that offers to", () => {
    const said = answer(dhcp6Type.solicit, [client, { kind: "rapid-commit" }, wanting()]);
    assert.equal(said.type, dhcp6Type.reply);
    assert.deepEqual([dhcp6OptionOf(said.options, "rapid-commit"), given(said)], [{ kind: "rapid-commit" }, [leased(own, 3600)]]);
  });

  test("gives one address only, no temporary ones and no prefixes", () => {
    const temporary: Dhcp6Option = { kind: "temporary", id: 3, options: [] };
    const prefixes: Dhcp6Option = { kind: "prefixes", id: 4, renewSeconds: 0, rebindSeconds: 0, options: [] };
    const said = answer(dhcp6Type.request, [client, server, wanting(), { ...wanting(), id: 8 } as Dhcp6Option, temporary, prefixes]);
    const codes = said.options
      .flatMap((option) => ("options" in option ? option.options : []))
      .map((o) => (o.kind === "status" ? o.code : o.kind));
    assert.deepEqual(codes, ["address", dhcp6Status.noAddress, dhcp6Status.noAddress, dhcp6Status.noPrefix]);
  });

  test("gives no address where guests make their own, nor to a guest without one", () => {
    for (const asked of [{ network: { ...network, addressing: "stateless" as const } }, { guest: { mac } }]) {
      const said = answer(dhcp6Type.solicit, [client, wanting()], asked);
      assert.deepEqual(statuses(given(said)), [dhcp6Status.noAddress]);
    }
  });

  test("sends a client that comes from another link back to the start", () => {
    assert.deepEqual(statuses(given(answer(dhcp6Type.request, [client, server, wanting("fd00:99::1")]))), [dhcp6Status.notOnLink]);
    assert.deepEqual(given(answer(dhcp6Type.request, [client, server, wanting("fd00:77::99")])), [leased(own, 3600)]);
  });

  test("extends the address and takes time from every other one, asked by name or of anybody", () => {
    for (const [type, names] of [
      [dhcp6Type.renew, [client, server]],
      [dhcp6Type.rebind, [client]],
    ] as const) {
      assert.deepEqual(given(answer(type, [...names, wanting(own)])), [leased(own, 3600)]);
      assert.deepEqual(given(answer(type, [...names, wanting("fd00:77::99")])), [leased(own, 3600), leased(ip("fd00:77::99"), 0)]);
    }
  });

  test("confirms the very address alone", () => {
    const confirm = (...addresses: string[]) => answerOf(dhcp6Type.confirm, [client, wanting(...addresses)]);
    assert.deepEqual(statuses(confirm(own)?.options), [dhcp6Status.success]);
    assert.deepEqual(statuses(confirm("fd00:77::99")?.options), [dhcp6Status.notOnLink]);
    assert.equal(confirm(), undefined);
  });

  test("notes a release and a decline, and says which address was never the client's", () => {
    for (const type of [dhcp6Type.release, dhcp6Type.decline]) {
      assert.deepEqual(statuses(answer(type, [client, server, wanting(own)]).options), [dhcp6Status.success]);
      const stranger = answer(type, [client, server, wanting("fd00:77::99")]);
      assert.deepEqual([statuses(stranger.options), statuses(given(stranger))], [[dhcp6Status.success], [dhcp6Status.noBinding]]);
    }
  });

  test("tells settings to whoever wants no address, those asked for alone", () => {
    const said = answer(dhcp6Type.informationRequest, [{ kind: "option-request", codes: [23, 32] }]);
    assert.deepEqual(said.options, [server, { kind: "dns-servers", servers: ["fd00:77::1"] }, { kind: "refresh", seconds: 3600 }]);
  });

  test("passes over what names the wrong parties", () => {
    const other: Dhcp6Option = { kind: "server-id", duid: Uint8Array.of(0, 3, 1) };
    const cases: [number, Dhcp6Option[]][] = [
      [dhcp6Type.solicit, [wanting()]],
      [dhcp6Type.solicit, [client, server]],
      [dhcp6Type.request, [client, wanting()]],
      [dhcp6Type.request, [client, other]],
      [dhcp6Type.renew, [server, wanting(own)]],
      [dhcp6Type.rebind, [client, server]],
      [dhcp6Type.confirm, [client, server, wanting(own)]],
      [dhcp6Type.release, [client, other]],
      [dhcp6Type.informationRequest, [other]],
      [dhcp6Type.informationRequest, [client, wanting()]],
      [dhcp6Type.advertise, [client, server]],
      [dhcp6Type.reply, [client, server]],
      [77, [client]],
    ];
    for (const [type, options] of cases) assert.equal(answerOf(type, options), undefined, `type ${type}`);
  });

  test("sends those who ask by unicast to the group, and hears no others there", () => {
    const asked = { multicast: false };
    assert.deepEqual(
      answer(dhcp6Type.renew, [client, server, wanting(own)], asked).options.map((o) => o.kind),
      ["client-id", "server-id", "status"],
    );
    assert.deepEqual(statuses(answer(dhcp6Type.request, [client, server], asked).options), [dhcp6Status.useMulticast]);
    assert.equal(answerOf(dhcp6Type.solicit, [client, wanting()], asked), undefined);
    assert.equal(answerOf(dhcp6Type.informationRequest, [], asked), undefined);
  });
});

function answerOf(type: number, options: readonly Dhcp6Option[], asked: Partial<Dhcp6Asked> = {}): Dhcp6Message | undefined {
  const guest = { mac, address: own };
  return answerDhcp6({ type, transaction: 0xabcdef, options }, { network, guest, serverDuid, multicast: true, ...asked });
}

function answer(...input: Parameters<typeof answerOf>): Dhcp6Message {
  const said = answerOf(...input);
  assert.ok(said !== undefined);
  assert.equal(said.transaction, 0xabcdef);
  return said;
}

function wanting(...addresses: string[]): Dhcp6Option {
  return { kind: "non-temporary", id: 7, renewSeconds: 0, rebindSeconds: 0, options: addresses.map((a) => leased(ip(a), 0)) };
}

function leased(address: Ipv6, seconds: number): Dhcp6Option {
  return { kind: "address", address, preferredSeconds: seconds, validSeconds: seconds, options: [] };
}

function given(message: Dhcp6Message): readonly Dhcp6Option[] {
  return dhcp6OptionOf(message.options, "non-temporary")?.options ?? assert.fail("no association");
}

function statuses(options: readonly Dhcp6Option[] = []): number[] {
  return options.flatMap((option) => (option.kind === "status" ? [option.code] : []));
}

function ip(text: string): Ipv6 {
  return (parseIp(text) ?? assert.fail(text)) as Ipv6;
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
