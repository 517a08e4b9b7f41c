import { describe, test } from "node:test";
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { WireError } from "../../../src/base/errors.ts";
import { Reader, Writer } from "../../../src/wire/netlink/bytes.ts";
import { explainAck, readAck } from "../../../src/wire/netlink/error.ts";
import { messageFlags, type NetlinkMessage, readMessages, writeMessage } from "../../../src/wire/netlink/message.ts";
import { attributeRequest } from "../../../src/wire/netlink/request.ts";
import { linkHeader, linkTable } from "./sample.ts";

type Capture = { sent: string[]; received: string[] };
const golden = JSON.parse(readFileSync(new URL("../../golden/rtnetlink.json", import.meta.url), "utf8")) as Record<string, Capture>;

describe("messages of the real ip", () => {
  test("`ip link add … type veth` reads as what was asked", () => {
    const [message] = readMessages(bytesOf(golden["veth-add"]?.sent.at(-1)));
    assert.ok(message);
    assert.equal(message.type, 16);
    assert.equal(message.flags, messageFlags.request | messageFlags.ack | messageFlags.create | messageFlags.exclusive);
    assert.deepEqual(linkHeader.read(new Reader(message.body, "link")), { family: 0, type: 0, index: 0, flags: 1, change: 1 });
    const link = linkTable.decode(message.body, "link", linkHeader.size);
    const peer = link.info?.data?.veth?.peer;
    const queues = { transmitQueues: 1, receiveQueues: 1 };
    assert.deepEqual(
      { ...link, info: undefined, master: undefined },
      { name: "nabc-web", mtu: 1400, address: "02:00:00:00:00:02", group: 1308622849, ...queues, info: undefined, master: undefined },
    );
    assert.equal(link.info?.kind, "veth");
    assert.equal(peer?.attributes.name, "eth0");
    assert.equal(peer?.attributes.address, "02:00:00:00:00:03");
  });

  test("are written back with the same meaning, one byte longer for the NUL after the kind", () => {
    const [message] = readMessages(bytesOf(golden["veth-add"]?.sent.at(-1)));
    assert.ok(message);
    const header = linkHeader.read(new Reader(message.body, "link"));
    const link = linkTable.decode(message.body, "link", linkHeader.size);
    const { body } = attributeRequest({ type: 16, root: "link", headerCodec: linkHeader, header, table: linkTable, attributes: link });
    assert.deepEqual(linkTable.decode(body, "link", linkHeader.size), link);
    assert.equal(body.length, message.body.length + 4);
  });

  test("the acks it got are read: success, and a refusal without words", () => {
    const acks = (golden["veth-add"]?.received ?? [])
      .flatMap((text) => readMessages(bytesOf(text)))
      .filter((m) => m.type === 2)
      .map(readAck);
    assert.deepEqual(acks.at(-1), { errno: 0 });
    assert.equal(acks[0]?.errno, 19);
  });

  test("a dump of several datagrams is read whole", () => {
    const messages = (golden["link-list"]?.received ?? []).flatMap((text) => readMessages(bytesOf(text)));
    const names = messages.filter((m) => m.type === 16).map((m) => linkTable.decode(m.body, "link", linkHeader.size).name);
    assert.ok(names.includes("lo") && names.includes("nexus0") && names.includes("nabc-web"), names.join());
  });
});

describe("message framing", () => {
  test("gives messages back as they were written", () => {
    const message = fc.record(
      {
        type: fc.nat(65535),
        flags: fc.nat(65535),
        sequence: fc.nat(),
        portId: fc.nat(),
        body: fc.uint8Array({ maxLength: 30 }).map((b) => Uint8Array.from(b)),
      },
      { noNullPrototype: true },
    );
    fc.assert(
      fc.property(fc.array(message, { maxLength: 5 }), (messages) => {
        const writer = new Writer(16);
        for (const { body, ...header } of messages) writeMessage(writer, header, body);
        assert.deepEqual(readMessages(writer.finish()), messages);
      }),
    );
  });

  test("gives a value or a WireError for any bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
        try {
          for (const message of readMessages(bytes)) readAck(message);
        } catch (error) {
          assert.ok(error instanceof WireError, String(error));
        }
      }),
      { numRuns: 2000 },
    );
  });

  test("refuses a length of nothing, which would never end", () => {
    assert.throws(() => readMessages(new Uint8Array(16)), /claims 0 bytes at byte 0/);
  });
});

describe("acks", () => {
  test("tell the kernel's words and the attribute at the byte it points to", () => {
    const request = attributeRequest({
      type: 16,
      root: "link",
      headerCodec: linkHeader,
      header: {},
      table: linkTable,
      attributes: { name: "v0", info: { kind: "veth", data: { veth: { peer: { header: {}, attributes: { name: "v1", mtu: 9 } } } } } },
    });
    const mtuAt = request.body.length - 8;
    assert.equal(request.describe?.(mtuAt), "link.info.data.peer.mtu");
    assert.equal(request.describe?.(16), "link.name");
    assert.equal(request.describe?.(3), "link header");
    const ack = readAck(ackMessage({ errno: 34, words: "too small", offset: mtuAt + 16 }));
    assert.deepEqual(explainAck(ack, request.describe), { message: "too small", attribute: "link.info.data.peer.mtu" });
    assert.deepEqual(explainAck(ack, undefined), { message: "too small", attribute: `byte ${mtuAt + 16}` });
  });

  test("tell which attribute is missing and where", () => {
    assert.deepEqual(explainAck({ errno: 22, missing: { type: 3, nest: undefined } }, undefined), { attribute: "attribute 3 is missing" });
    assert.deepEqual(
      explainAck({ errno: 22, missing: { type: 3, nest: 20 } }, (at) => `nest@${at}`),
      { attribute: "nest@4: attribute 3 is missing" },
    );
  });
});

function ackMessage(said: { errno: number; words: string; offset: number }): NetlinkMessage {
  const writer = new Writer();
  writer.s32(-said.errno);
  writer.zero(16);
  writer.u16(4 + said.words.length + 1);
  writer.u16(1);
  writer.string(said.words);
  writer.u8(0);
  writer.align();
  writer.u16(8);
  writer.u16(2);
  writer.u32(said.offset);
  return { type: 2, flags: messageFlags.capped | messageFlags.ackAttributes, sequence: 1, portId: 1, body: writer.finish() };
}

function bytesOf(hex: string | undefined): Uint8Array {
  assert.ok(hex !== undefined, "the capture is missing");
  return Uint8Array.from(Buffer.from(hex, "hex"));
}
