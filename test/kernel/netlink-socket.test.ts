import { describe, test } from "node:test";
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { KernelError } from "../../src/base/errors.ts";
import { createNamespace, openNamespace, removeNamespace, namespacePath } from "../../src/kernel/namespaces.ts";
import { BatchRefusal, type NetlinkHandler, NetlinkSocket } from "../../src/kernel/netlink-socket.ts";
import { setOption } from "../../src/sys/socket.ts";
import { warmThreadpool } from "../../src/sys/threadpool.ts";
import { attributeTable } from "../../src/wire/netlink/attributes.ts";
import { u16, u32 } from "../../src/wire/netlink/codecs.ts";
import { Writer } from "../../src/wire/netlink/bytes.ts";
import { messageFlags, type NetlinkMessage, type NetlinkRequest, writeMessage } from "../../src/wire/netlink/message.ts";
import { attributeRequest } from "../../src/wire/netlink/request.ts";
import { linkHeader, linkTable } from "../wire/netlink/sample.ts";

const newLink = 16;
const deleteLink = 17;
const getLink = 18;
const groupLink = 1;
const create = messageFlags.create | messageFlags.exclusive;

describe("a netlink socket", () => {
  test("dumps the links of a fresh namespace: lo alone", () => {
    createNamespace("fresh");
    using netns = openNamespace(namespacePath("fresh"));
    using socket = NetlinkSocket.open("route", { netns });
    assert.deepEqual(names(socket.dump("list links", linkRequest(getLink, {}))), ["lo"]);
    removeNamespace("fresh");
  });

  test("makes what `ip` then shows, and what it returns survives later calls", () => {
    using socket = NetlinkSocket.open("route");
    socket.request("add link va0", veth("va0", "va1"));
    const shown = JSON.parse(execFileSync("ip", ["-j", "-d", "link", "show", "va0"], { encoding: "utf8" })) as {
      ifname: string;
      linkinfo: { info_kind: string };
      link: string;
    }[];
    assert.equal(shown[0]?.linkinfo.info_kind, "veth");
    assert.equal(shown[0]?.link, "va1");
    const [kept] = socket.request("get link va0", linkRequest(getLink, { name: "va0" }));
    assert.ok(kept);
    const before = Buffer.from(kept.body).toString("hex");
    for (let i = 0; i < 20; i++) socket.dump("list links", linkRequest(getLink, {}));
    assert.equal(Buffer.from(kept.body).toString("hex"), before);
    socket.request("delete link va0", linkRequest(deleteLink, { name: "va0" }));
    assert.throws(
      () => socket.request("get link va0", linkRequest(getLink, { name: "va0" })),
      refusal("get link va0: ENODEV (No such device)"),
    );
  });

  test("says in the kernel's words which attribute it refused", () => {
    using socket = NetlinkSocket.open("route");
    const request = attributeRequest({
      type: newLink,
      flags: create,
      root: "link",
      headerCodec: linkHeader,
      header: {},
      table: wrongTable,
      attributes: { mtu: 9 },
    });
    assert.throws(
      () => socket.request("add link x", request),
      (error: unknown) => {
        assert.ok(error instanceof KernelError);
        assert.equal(error.errno, "ERANGE");
        assert.match(error.message, /^add link x: ERANGE \(Numerical result out of range\): .*policy.* \[link\.mtu\]$/i);
        assert.equal(error.ack?.attribute, "link.mtu");
        return true;
      },
    );
  });

  test("does every message of a batch and tells the first that was refused", () => {
    using socket = NetlinkSocket.open("route");
    const requests = [veth("vb0", "vb1"), veth("vb0", "vb9"), veth("vb2", "vb3")];
    assert.throws(
      () => socket.batch("add links", requests),
      (error: unknown) => {
        assert.ok(error instanceof BatchRefusal);
        assert.equal(error.index, 1);
        assert.equal(error.errno, "EEXIST");
        assert.equal(error.message, "add links: EEXIST (File exists)");
        assert.deepEqual(
          error.results.map((r) => r.refusal?.errno),
          [undefined, "EEXIST", undefined],
        );
        return true;
      },
    );
    const found = names(socket.dump("list links", linkRequest(getLink, {})));
    for (const name of ["vb0", "vb1", "vb2", "vb3"]) assert.ok(found.includes(name), `${name} is missing of ${found.join()}`);
    const replies = socket.batch("get links", [linkRequest(getLink, { name: "vb0" }), linkRequest(getLink, { name: "vb2" })]);
    assert.deepEqual(replies.map(names), [["vb0"], ["vb2"]]);
    socket.batch(
      "delete links",
      ["vb0", "vb2"].map((name) => linkRequest(deleteLink, { name })),
    );
  });

  test("does a batch longer than one part", () => {
    using socket = NetlinkSocket.open("route");
    const replies = socket.batch(
      "get lo",
      Array.from({ length: 1300 }, () => linkRequest(getLink, { name: "lo" })),
    );
    assert.equal(replies.length, 1300);
    assert.ok(replies.every((messages) => messages.length === 1));
  });

  test("reports lost answers as ENOBUFS and takes the next request as if nothing had been", () => {
    using socket = NetlinkSocket.open("route");
    sizeReceiveBuffer(socket, 2048);
    const requests = Array.from({ length: 200 }, () => linkRequest(getLink, { name: "lo" }));
    assert.throws(
      () => socket.batch("get lo", requests),
      (error: unknown) => error instanceof KernelError && error.errno === "ENOBUFS",
    );
    assert.deepEqual(names(socket.request("get lo", linkRequest(getLink, { name: "lo" }))), ["lo"]);
    assert.ok(names(socket.dump("list links", linkRequest(getLink, {}))).includes("lo"));
  });

  test("gives all answers to a datagram the caller encoded", () => {
    using socket = NetlinkSocket.open("route");
    const first = socket.reserve(2);
    const writer = new Writer();
    for (const [i, name] of ["lo", "nope"].entries()) {
      const flags = messageFlags.request | messageFlags.ack;
      writeMessage(writer, { type: getLink, flags, sequence: first + i }, linkRequest(getLink, { name }).body);
    }
    const answers = socket.exchange("get two", writer.finish(), first);
    assert.deepEqual(
      answers.map((m) => [m.sequence - first, m.type]),
      [
        [0, newLink],
        [0, 2],
        [1, 2],
      ],
    );
  });

  test("does requests on a thread of the pool, in order, and refuses others meanwhile", async () => {
    await warmThreadpool();
    using socket = NetlinkSocket.open("route");
    socket.request("add link vc0", veth("vc0", "vc1"));
    const removed = socket.requestAsync("delete link vc0", linkRequest(deleteLink, { name: "vc0" }));
    const gone = socket.requestAsync("get link vc0", linkRequest(getLink, { name: "vc0" }));
    assert.throws(() => socket.dump("list links", linkRequest(getLink, {})), TypeError);
    assert.deepEqual(await removed, []);
    await assert.rejects(gone, refusal("get link vc0: ENODEV (No such device)"));
    assert.ok(names(socket.dump("list links", linkRequest(getLink, {}))).includes("lo"));
  });

  test("delivers events of its groups, and says when some were lost", { timeout: 10_000 }, async () => {
    using events = NetlinkSocket.open("route", { groups: [groupLink] });
    using socket = NetlinkSocket.open("route");
    assert.throws(() => events.request("get lo", linkRequest(getLink, { name: "lo" })), TypeError);
    const seen: string[] = [];
    let lost = 0;
    let changed = Promise.withResolvers<void>();
    const handler: NetlinkHandler = {
      messages: (messages) => {
        seen.push(...names(messages));
        changed.resolve();
      },
      lost: () => {
        lost++;
        changed.resolve();
      },
    };
    using _ = events.onMessages(handler);
    socket.request("add link vd0", veth("vd0", "vd1"));
    while (!seen.includes("vd0")) {
      await changed.promise;
      changed = Promise.withResolvers();
    }
    sizeReceiveBuffer(events, 2048);
    for (let mtu = 1000; mtu < 1200; mtu++) socket.request("set mtu", linkRequest(newLink, { name: "vd0", mtu }));
    while (lost === 0) {
      await changed.promise;
      changed = Promise.withResolvers();
    }
    sizeReceiveBuffer(events, 1 << 20);
    socket.request("add link ve0", veth("ve0", "ve1"));
    while (!seen.includes("ve0")) {
      await changed.promise;
      changed = Promise.withResolvers();
    }
    socket.batch(
      "delete links",
      ["vd0", "ve0"].map((name) => linkRequest(deleteLink, { name })),
    );
  });
});

/** `mtu` coded too short, which the kernel's policy refuses. */
const wrongTable = attributeTable({
  mtu: { number: 4, codec: u16, meaning: "coded wrongly on purpose" },
  group: { number: 27, codec: u32, meaning: "" },
});

function linkRequest(type: number, attributes: { name?: string; mtu?: number }): NetlinkRequest {
  return attributeRequest({ type, root: "link", headerCodec: linkHeader, header: {}, table: linkTable, attributes });
}

function veth(name: string, peer: string): NetlinkRequest {
  const info = { kind: "veth", data: { veth: { peer: { header: {}, attributes: { name: peer } } } } };
  return attributeRequest({
    type: newLink,
    flags: create,
    root: "link",
    headerCodec: linkHeader,
    header: {},
    table: linkTable,
    attributes: { name, info },
  });
}

function names(messages: readonly NetlinkMessage[]): string[] {
  return messages.map((m) => linkTable.decode(m.body, "link", linkHeader.size).name ?? "?");
}

/** The socket keeps its descriptor to itself; its port id finds it in this process's table. */
function sizeReceiveBuffer(socket: NetlinkSocket, value: number): void {
  setOption(descriptorOf(socket), { level: 1, name: 8, value, op: "size the receive buffer" });
}

function descriptorOf(socket: NetlinkSocket): number {
  const line = readFileSync("/proc/net/netlink", "utf8")
    .split("\n")
    .find((text) => text.split(/\s+/)[2] === String(socket.portId) && text.split(/\s+/)[1] === "0");
  const inode = line?.trim().split(/\s+/).at(-1);
  for (const fd of readdirSync("/proc/self/fd")) {
    try {
      if (readlinkSync(`/proc/self/fd/${fd}`) === `socket:[${inode}]`) return Number(fd);
    } catch {
      // The directory's own descriptor is gone by now.
    }
  }
  throw new Error(`no socket with port ${socket.portId}`);
}

function refusal(message: string): (error: unknown) => boolean {
  return (error) => error instanceof KernelError && error.message === message;
}
