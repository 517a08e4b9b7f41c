import { describe, test } from "node:test";
import assert from "node:assert/strict";
import type { Ip } from "../../../src/base/ip.ts";
import type { Mac } from "../../../src/base/mac.ts";
import type { IfName } from "../../../src/base/names.ts";
import type { Cidr, Prefix } from "../../../src/base/prefix.ts";
import { addAddress } from "../../../src/kernel/addresses.ts";
import { addAltName, changeLink, createBridge, createVeth, deleteLinkGroup } from "../../../src/kernel/links.ts";
import type { NetlinkSocket } from "../../../src/kernel/netlink-socket.ts";
import { changePort } from "../../../src/kernel/ports.ts";
import { addRoute, type RouteInput } from "../../../src/kernel/routes.ts";
import { Reader } from "../../../src/wire/netlink/bytes.ts";
import { messageFlags, type NetlinkMessage, type NetlinkRequest } from "../../../src/wire/netlink/message.ts";
import { addressBody } from "../../../src/wire/rtnetlink/address.ts";
import { bridgePortAttributes } from "../../../src/wire/rtnetlink/bridge.ts";
import { linkBody } from "../../../src/wire/rtnetlink/link.ts";
import { routeBody } from "../../../src/wire/rtnetlink/route.ts";
import { routeMessage } from "../../../src/wire/rtnetlink/messages.ts";
import { captured, request } from "../../golden/captured.ts";

const group = 0x4e000001;
const link = { index: 3, name: "nabc-web" };
const bridge = { index: 2, name: "nexus0" };

/** We say what `ip` says, and `beyond` that what `ip` cannot: everything else must be equal, header and attributes. */
describe("the same request as `ip` sends", () => {
  test("to create a bridge; its MTU in a second one, which alone makes it stay", () => {
    const options = { multicastSnooping: false };
    const input = { name: name("nexus0"), mac: mac("02:00:00:00:00:01"), mtuBytes: 1400, group, options };
    const [ours, second] = allSentBy((rt) => createBridge(rt, input)) as [NetlinkRequest, NetlinkRequest];
    const theirs = linkBody.decode(request("rtnetlink", "bridge-add").body);
    const { mtu, ...attributes } = theirs.attributes;
    assert.deepEqual(linkBody.decode(ours.body), { ...theirs, attributes });
    assert.equal(messageFlags.request | messageFlags.ack | (ours.flags ?? 0), request("rtnetlink", "bridge-add").flags | messageFlags.echo);
    assert.deepEqual(linkBody.decode(second.body).attributes, { mtu });
  });

  test("to create a veth with its peer in another namespace, in a bridge, in a group, up", () => {
    const peer = { name: name("eth0"), mac: mac("02:00:00:00:00:03"), mtuBytes: 1400, netns: 4 };
    const ours = sentBy((rt) =>
      createVeth(rt, { name: name("nabc-web"), mac: mac("02:00:00:00:00:02"), mtuBytes: 1400, group, master: bridge, up: true, peer }),
    );
    sameLink(ours, request("rtnetlink", "veth-add"), messageFlags.echo);
  });

  test("to add an alternative name", () => {
    sameLink(
      sentBy((rt) => addAltName(rt, link, "nexus:demo:web")),
      request("rtnetlink", "altname-add"),
    );
  });

  test("to put a link into a bridge and take it out", () => {
    sameLink(
      sentBy((rt) => changeLink(rt, link, { master: bridge })),
      request("rtnetlink", "master-set"),
    );
    sameLink(
      sentBy((rt) => changeLink(rt, link, { master: "none" })),
      request("rtnetlink", "master-clear"),
    );
  });

  test("to delete a group of links", () => {
    sameLink(
      sentBy((rt) => deleteLinkGroup(rt, group)),
      request("rtnetlink", "group-delete"),
    );
  });

  test("to set the flags of a bridge port", () => {
    const ours = sentBy((rt) => changePort(rt, link, { isolated: true, locked: true }));
    const theirs = request("rtnetlink", "slave-set");
    assert.deepEqual([ours.type, ours.flags], [theirs.type, theirs.flags & ~(messageFlags.request | messageFlags.ack)]);
    // `ip` invents the kind "bridge_slave" where we name the master's; the kernel looks at the master alone.
    const data = linkBody.decode(theirs.body).attributes.info?.slaveData?.other;
    assert.deepEqual(
      linkBody.decode(ours.body).attributes.info?.slaveData?.bridge,
      bridgePortAttributes.read(new Reader(data ?? new Uint8Array(), "port")),
    );
  });

  test("with the flags that `bridge` has names for", () => {
    const flags = { isolated: true, hairpin: true, learning: false, unicastFlood: false, multicastFlood: false, neighbourSuppress: true };
    const ours = linkBody.decode(sentBy((rt) => changePort(rt, link, flags)).body).attributes.info?.slaveData?.bridge;
    // `bridge` sends them in IFLA_PROTINFO of the bridge's own family.
    const theirs = linkBody.decode(request("rtnetlink", "port-set").body).attributes.protocolInfo;
    assert.deepEqual(ours, bridgePortAttributes.read(new Reader(theirs ?? new Uint8Array(), "port")));
  });

  test("to add an IPv4 address with its broadcast address; and our mark", () => {
    const ours = addressBody.decode(sentBy((rt) => addAddress(rt, { link: bridge, cidr: "10.77.0.1/24" as Cidr })).body);
    const theirs = addressBody.decode(request("rtnetlink", "addr4-add").body);
    assert.deepEqual(ours, { header: theirs.header, attributes: { ...theirs.attributes, protocol: 78 } });
  });

  test("to add an IPv6 address without duplicate detection; and our mark", () => {
    const ours = addressBody.decode(sentBy((rt) => addAddress(rt, { link: bridge, cidr: "fd00:77::1/64" as Cidr })).body);
    const theirs = addressBody.decode(request("rtnetlink", "addr6-add").body);
    // iproute2 puts flags that fit into the header there; the kernel takes either.
    const flags = theirs.header.flags;
    assert.deepEqual(ours, { header: { ...theirs.header, flags: 0 }, attributes: { ...theirs.attributes, flags, protocol: 78 } });
  });

  const routes: [name: string, input: RouteInput][] = [
    ["route4-add", { destination: prefix("10.99.0.0/16"), via: ip("10.77.0.2"), link: bridge, metric: 50 }],
    ["route6-add", { destination: prefix("fd99::/64"), via: ip("fd00:77::2"), link: bridge }],
    ["default-add", { destination: prefix("0.0.0.0/0"), via: ip("10.77.0.3"), link: bridge }],
  ];
  for (const [golden, input] of routes) {
    test(`to add what \`${captured("rtnetlink", golden).command}\` adds`, () => {
      const ours = sentBy((rt) => addRoute(rt, input));
      assert.deepEqual(routeBody.decode(ours.body), routeBody.decode(request("rtnetlink", golden).body));
    });
  }

  test("to add a blackhole in a table above 255; with our protocol number", () => {
    const ours = routeBody.decode(
      sentBy((rt) => addRoute(rt, { destination: prefix("10.97.0.0/16"), type: "blackhole", table: 1000 })).body,
    );
    const theirs = routeBody.decode(request("rtnetlink", "blackhole-add").body);
    // iproute2 writes RT_TABLE_UNSPEC beside the attribute; the kernel itself answers with RT_TABLE_COMPAT, as we write.
    assert.deepEqual(ours, { header: { ...theirs.header, protocol: 78, table: 252 }, attributes: theirs.attributes });
  });
});

describe("a refusal names", () => {
  test("the attribute within the peer's message", () => {
    const peer = { name: name("eth0"), mac: mac("02:00:00:00:00:03"), mtuBytes: 1400, netns: 4 };
    const sent = sentBy((rt) => createVeth(rt, { name: name("a"), mac: mac("02:00:00:00:00:02"), mtuBytes: 1400, group, peer }));
    const at = Buffer.from(sent.body).indexOf(Buffer.from("eth0\0"));
    assert.equal(sent.describe?.(at), "link.info.data.peer.name");
    assert.equal(sent.describe?.(0), "link header");
  });
});

function sameLink(ours: NetlinkRequest, theirs: NetlinkMessage, beyond = 0): void {
  assert.deepEqual(linkBody.decode(ours.body), linkBody.decode(theirs.body));
  assert.equal(ours.type, theirs.type);
  assert.equal(messageFlags.request | messageFlags.ack | (ours.flags ?? 0), theirs.flags | beyond);
}

/** The first request a function makes of the kernel. */
function sentBy(act: (rt: NetlinkSocket) => unknown): NetlinkRequest {
  const [first] = allSentBy(act);
  assert.ok(first);
  return first;
}

/** The requests a function makes of the kernel, which answers with the link the golden is about. */
function allSentBy(act: (rt: NetlinkSocket) => unknown): NetlinkRequest[] {
  const sent: NetlinkRequest[] = [];
  const answer = linkBody.request(routeMessage.newLink, { header: { index: 3 }, attributes: { name: "nabc-web" } });
  const reply: NetlinkMessage = { type: routeMessage.newLink, flags: 0, sequence: 0, portId: 0, body: answer.body };
  const recorder = {
    request: (_op: string, made: NetlinkRequest) => (sent.push(made), [reply]),
    batch: (_op: string, made: NetlinkRequest[]) => (sent.push(...made), made.map(() => [])),
  };
  act(recorder as unknown as NetlinkSocket);
  return sent;
}

function name(text: string): IfName {
  return text as IfName;
}
function mac(text: string): Mac {
  return text as Mac;
}
function ip(text: string): Ip {
  return text as Ip;
}
function prefix(text: string): Prefix {
  return text as Prefix;
}
