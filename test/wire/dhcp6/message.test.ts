import { describe, test } from "node:test";
import assert from "node:assert/strict";
import { WireError } from "../../../src/base/errors.ts";
import { type Mac, parseMac } from "../../../src/base/mac.ts";
import { decodeDhcp6, dhcp6OptionOf, dhcp6Type, duidOfMac, encodeDhcp6 } from "../../../src/wire/dhcp6/message.ts";
import { dhclientRequest, dhclientSolicit, serverAdvertise, serverReply } from "./golden.ts";

describe("DHCPv6 messages", () => {
  test("of dhclient read as what it asks for", () => {
    const { type, transaction, options } = decodeDhcp6(dhclientSolicit);
    assert.deepEqual([type, transaction], [dhcp6Type.solicit, 0xa2951e]);
    assert.deepEqual(
      options.map((option) => option.kind),
      ["client-id", "option-request", "elapsed", "non-temporary"],
    );
    assert.deepEqual(dhcp6OptionOf(options, "option-request")?.codes, [23, 24]);
    assert.deepEqual(dhcp6OptionOf(options, "non-temporary"), {
      kind: "non-temporary",
      id: 0x101,
      renewSeconds: 3600,
      rebindSeconds: 5400,
      options: [],
    });
  });

  test("of dnsmasq read as what it was told to say", () => {
    const { type, options } = decodeDhcp6(serverReply);
    assert.equal(type, dhcp6Type.reply);
    assert.deepEqual(dhcp6OptionOf(options, "non-temporary")?.options, [
      { kind: "address", address: "fd00:77::57", preferredSeconds: 3600, validSeconds: 3600, options: [] },
    ]);
    assert.deepEqual(dhcp6OptionOf(options, "status"), { kind: "status", code: 0, text: "success" });
    assert.deepEqual(dhcp6OptionOf(options, "dns-servers")?.servers, ["fd00:77::1"]);
    assert.deepEqual(dhcp6OptionOf(options, "domains")?.domains, ["lan.demo.nexus", "demo.nexus"]);
    assert.deepEqual(dhcp6OptionOf(options, "server-id")?.duid, duidOfMac(parseMac("02:00:00:00:00:01") as Mac));
    assert.deepEqual(options.at(-1), {
      kind: "other",
      code: 39,
      data: Uint8Array.from(Buffer.from("\x01\x03web\x03lan\x04demo\x05nexus\x00")),
    });
  });

  test("are written the same, byte for byte, from what was read", () => {
    for (const bytes of [dhclientSolicit, dhclientRequest, serverAdvertise, serverReply])
      assert.equal(Buffer.from(encodeDhcp6(decodeDhcp6(bytes))).toString("hex"), bytes.toString("hex"));
  });

  test("are refused where lengths lie, and from relays", () => {
    for (const bytes of [
      [1, 0, 0],
      [12, 0, 0, 0],
      [1, 0, 0, 1, 0, 1],
      [1, 0, 0, 1, 0, 8, 0, 3, 0, 0],
      [1, 0, 0, 1, 0, 1, 0, 2, 0, 0],
      [1, 0, 0, 1, 0, 3, 0, 4, 0, 0, 0, 0],
      [1, 0, 0, 1, 0, 6, 0, 1, 0],
      [1, 0, 0, 1, 0, 14, 0, 1, 0],
      [1, 0, 0, 1, 0, 23, 0, 4, 0, 0, 0, 0],
      [1, 0, 0, 1, 0, 24, 0, 2, 9, 65],
    ])
      assert.throws(() => decodeDhcp6(Uint8Array.from(bytes)), WireError, bytes.join());
  });
});
