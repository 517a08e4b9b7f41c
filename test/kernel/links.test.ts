import { afterEach, beforeEach, describe, test } from "node:test";
import assert from "node:assert/strict";
import { createNamespace, namespacePath, openNamespace, removeNamespace } from "../../src/kernel/namespaces.ts";
import { NetlinkSocket } from "../../src/kernel/netlink-socket.ts";
import {
  addAltName,
  changeLink,
  createBridge,
  createVeth,
  deleteLink,
  deleteLinkAsync,
  deleteLinkGroup,
  deleteLinkGroupAsync,
  getLink,
  listLinks,
  removeAltName,
  type VethInput,
} from "../../src/kernel/links.ts";
import { changeBridge, changePort } from "../../src/kernel/ports.ts";
import type { Fd } from "../../src/sys/fd.ts";
import { warmThreadpool } from "../../src/sys/threadpool.ts";
import { bridge, group, mac, name, refusal, run, shown } from "./iproute.ts";

describe("links", () => {
  let rt: NetlinkSocket;
  let guest: Fd;
  let master: ReturnType<typeof bridge>;

  beforeEach(() => {
    createNamespace("guest");
    guest = openNamespace(namespacePath("guest"));
    rt = NetlinkSocket.open("route");
    master = bridge(rt);
  });
  afterEach(() => {
    deleteLinkGroup(rt, group);
    guest[Symbol.dispose]();
    removeNamespace("guest");
    assert.deepEqual(
      listLinks(rt).map((link) => link.name),
      ["lo"],
      "the test leaves links behind",
    );
    rt[Symbol.dispose]();
  });

  const input = (number = 0): VethInput => ({
    name: name(`nabc-web${number}`),
    mac: mac("02:00:00:00:00:02"),
    mtuBytes: 1400,
    group,
    master,
    altName: `nexus:demo:web${number}`,
    port: { isolated: true, hairpin: true },
    up: true,
    peer: { name: name(`eth${number}`), mac: mac("02:00:00:00:00:03"), mtuBytes: 1400, netns: guest },
  });

  test("a bridge is as asked, says `ip`", () => {
    const options = { multicastSnooping: false, netfilterIpv4: true, ageingSeconds: 60, groupForwardMask: 8 };
    createBridge(rt, { name: name("nexus1"), mac: mac("02:00:00:00:00:09"), mtuBytes: 1400, group, altName: "nexus:other", options });
    const [json] = shown("ip -j -d link show nexus:other");
    assert.equal(json?.["ifname"], "nexus1");
    assert.equal(json["address"], "02:00:00:00:00:09");
    assert.equal(json["mtu"], 1400);
    assert.equal(json["group"], String(group));
    assert.equal(json["flags"].includes("UP"), false);
    const { stp_state, forward_delay, ageing_time, mcast_snooping, nf_call_iptables, nf_call_ip6tables, group_fwd_mask } =
      json["linkinfo"].info_data;
    assert.deepEqual([stp_state, forward_delay, ageing_time, mcast_snooping, nf_call_iptables, nf_call_ip6tables], [0, 0, 6000, 0, 1, 0]);
    assert.equal(Number(group_fwd_mask), 8);
  });

  test("a bridge keeps its MTU when ports with others come and go", () => {
    const index = createBridge(rt, { name: name("nexus1"), mac: mac("02:00:00:00:00:09"), mtuBytes: 1400, group, up: true });
    const mtu = () => listLinks(rt).find((link) => link.index === index)?.mtuBytes;
    const port = { ...input(), mtuBytes: 1300, master: { index, name: "nexus1" }, peer: { ...input().peer, mtuBytes: 1300 } };
    const { index: joined } = createVeth(rt, port);
    assert.equal(mtu(), 1400);
    deleteLink(rt, { index: joined, name: port.name });
    assert.equal(mtu(), 1400);
  });

  test("a bridge keeps its address when ports with lower ones join", () => {
    createVeth(rt, { ...input(), mac: mac("02:00:00:00:00:00") });
    assert.equal(shown("ip -j link show nexus0")[0]?.["address"], "02:00:00:00:00:01");
  });

  test("a veth is made in place: port, group, names and flags here, the peer there and down, says `ip`", () => {
    const { index, peerIndex } = createVeth(rt, input());
    const [json] = shown("ip -j -d link show nexus:demo:web0");
    assert.equal(json?.["ifindex"], index);
    assert.equal(json["ifname"], "nabc-web0");
    assert.equal(json["master"], "nexus0");
    assert.equal(json["group"], String(group));
    assert.equal(json["mtu"], 1400);
    assert.equal(json["address"], "02:00:00:00:00:02");
    assert.equal(json["flags"].includes("UP"), true);
    assert.equal(json["inet6_addr_gen_mode"], "none");
    assert.deepEqual([json["linkinfo"].info_slave_data.isolated, json["linkinfo"].info_slave_data.hairpin], [true, true]);
    const [there] = shown("ip -n guest -j -d link show eth0");
    assert.equal(there?.["ifindex"], peerIndex);
    assert.equal(there["address"], "02:00:00:00:00:03");
    assert.equal(there["mtu"], 1400);
    assert.equal(there["flags"].includes("UP"), false);
    for (const end of [json, there]) assert.deepEqual([end["num_tx_queues"], end["num_rx_queues"]], [1, 1]);
  });

  test("reads back what it made, by index, name and alternative name", () => {
    const { index, peerIndex } = createVeth(rt, input());
    const link = getLink(rt, index);
    assert.deepEqual(getLink(rt, "nabc-web0"), link);
    assert.deepEqual(getLink(rt, "nexus:demo:web0"), link);
    assert.equal(link?.kind, "veth");
    assert.equal(link.peer?.index, peerIndex);
    assert.equal(link.master, master.index);
    assert.deepEqual(link.altNames, ["nexus:demo:web0"]);
    assert.equal(link.port?.isolated, true);
    assert.equal(link.carrier, false);
    assert.deepEqual(
      listLinks(rt, { master: master.index }).map((port) => port.index),
      [index],
    );
    assert.deepEqual(
      listLinks(rt, { kind: "bridge" }).map((found) => found.name),
      ["nexus0"],
    );
  });

  test("gives the peer's index also when both ends have the same in their namespaces", () => {
    using inside = NetlinkSocket.open("route", { netns: guest });
    const first = createVeth(rt, input(0));
    for (let i = first.peerIndex; i < first.index; i++)
      createBridge(inside, { name: name(`x${i}`), mac: mac("02:00:00:00:00:0f"), mtuBytes: 1500, group });
    const second = createVeth(rt, input(1));
    assert.equal(second.index, shown("ip -n guest -j link show eth1")[0]?.["ifindex"]);
    assert.equal(second.peerIndex, second.index);
    assert.equal(getLink(rt, second.index)?.peer?.index, second.index);
  });

  test("a taken name is refused, and the link that has it is not touched", () => {
    run("ip link add nabc-web0 type veth peer name foreign");
    assert.throws(() => createVeth(rt, input()), refusal("create veth nabc-web0 on nexus0: EEXIST (File exists)"));
    const [json] = shown("ip -j -d link show nabc-web0");
    assert.deepEqual([json?.["altnames"], json?.["master"], json?.["group"]], [undefined, undefined, "default"]);
    run("ip link del nabc-web0");
  });

  test("nothing is left when an alternative name is taken", () => {
    run("ip link property add dev nexus0 altname nexus:demo:web0");
    assert.throws(() => createVeth(rt, input()), refusal("add alternative name nexus:demo:web0 to nabc-web0: EEXIST (File exists)"));
    assert.equal(getLink(rt, "nabc-web0"), undefined);
    assert.deepEqual(
      shown("ip -n guest -j link show").map((link) => link["ifname"]),
      ["lo"],
    );
  });

  test("a refusal names the attribute", () => {
    assert.throws(
      () => createVeth(rt, { ...input(), mtuBytes: 20 }),
      refusal("create veth nabc-web0 on nexus0: EINVAL (Invalid argument)"),
    );
    assert.throws(
      () => changeLink(rt, master, { mtuBytes: 70_000 }),
      refusal("set nexus0 mtu 70000: EINVAL (Invalid argument): mtu greater than device maximum"),
    );
    assert.throws(
      () => createVeth(rt, { ...input(), name: "name-of-twenty-bytes" as ReturnType<typeof name> }),
      refusal("create veth name-of-twenty-bytes on nexus0: ERANGE (Numerical result out of range)", "link.name"),
    );
    assert.throws(() => changeLink(rt, 999, { up: true }), refusal("set link 999 up: ENODEV (No such device)"));
    assert.throws(() => createVeth(rt, { ...input(), master: { index: 999, name: "gone" } }), refusal("create veth nabc-web0 on gone: E"));
    assert.throws(() => changePort(rt, master, { isolated: true }), refusal("set port nexus0 isolated true: E"));
  });

  test("changes: down, mtu, mac, group, name, out of the bridge and in again", () => {
    const { index } = createVeth(rt, input());
    const link = { index, name: "nabc-web0" };
    changeLink(rt, link, {
      up: false,
      mtuBytes: 1300,
      mac: mac("02:00:00:00:00:0a"),
      master: "none",
      group: group + 1,
      name: name("renamed"),
    });
    const [json] = shown("ip -j -d link show renamed");
    assert.equal(json?.["ifindex"], index);
    assert.deepEqual(
      [json["mtu"], json["address"], json["master"], json["group"]],
      [1300, "02:00:00:00:00:0a", undefined, String(group + 1)],
    );
    assert.equal(json["flags"].includes("UP"), false);
    changeLink(rt, link, { master, group, up: true });
    assert.equal(shown("ip -j link show renamed")[0]?.["master"], "nexus0");
  });

  test("alternative names come and go, and one of 127 bytes is found", () => {
    const long = "n".repeat(127);
    addAltName(rt, master, long);
    addAltName(rt, master, "nexus:two");
    assert.deepEqual(shown("ip -j link show nexus0")[0]?.["altnames"].toSorted(), [long, "nexus:two"].toSorted());
    assert.equal(getLink(rt, long)?.index, master.index);
    removeAltName(rt, master, long);
    assert.equal(getLink(rt, long), undefined);
    assert.throws(() => removeAltName(rt, master, long), refusal(`remove alternative name ${long} of nexus0: E`));
  });

  test("every flag of a port is set and read, and the others stay", () => {
    const { index } = createVeth(rt, input());
    const all = {
      isolated: false,
      hairpin: false,
      learning: false,
      unicastFlood: false,
      multicastFlood: false,
      broadcastFlood: false,
      neighbourSuppress: true,
      groupForwardMask: 0xfffd,
    };
    changePort(rt, index, all);
    const data = shown("ip -j -d link show nabc-web0")[0]?.["linkinfo"].info_slave_data;
    assert.deepEqual(
      [
        data.isolated,
        data.hairpin,
        data.learning,
        data.flood,
        data.mcast_flood,
        data.bcast_flood,
        data.neigh_suppress,
        Number(data.group_fwd_mask),
      ],
      [false, false, false, false, false, false, true, 0xfffd],
    );
    changePort(rt, index, { isolated: true });
    assert.deepEqual(getLink(rt, index)?.port, { ...all, isolated: true, locked: false });
    changePort(rt, index, { locked: true });
    assert.equal(shown("ip -j -d link show nabc-web0")[0]?.["linkinfo"].info_slave_data.locked, true);
  });

  test("every option of a bridge is set and read", () => {
    const options = {
      forwardDelaySeconds: 3,
      ageingSeconds: 10,
      multicastSnooping: false,
      multicastQuerier: true,
      netfilterIpv4: true,
      netfilterIpv6: true,
      netfilterArp: true,
      groupForwardMask: 16,
    };
    changeBridge(rt, master, options);
    assert.deepEqual(getLink(rt, master.index)?.bridge, { stp: false, vlanFiltering: false, ...options });
  });

  test("a tap made by `ip` appears, with its mode and owner", () => {
    run("ip tuntap add ntap0 mode tap user 65534");
    const link = getLink(rt, "ntap0");
    assert.equal(link?.kind, "tun");
    assert.deepEqual(link.tun, { mode: "tap", persistent: true, queues: 0, owner: 65534 });
    assert.equal(deleteLink(rt, link), true);
  });

  test("deleting one end takes both, and a second time there is nothing to do", async () => {
    const { index } = createVeth(rt, input());
    assert.equal(deleteLink(rt, index), true);
    assert.equal(deleteLink(rt, index), false);
    assert.deepEqual(
      shown("ip -n guest -j link show").map((link) => link["ifname"]),
      ["lo"],
    );
    await warmThreadpool();
    const again = createVeth(rt, input());
    assert.equal(await deleteLinkAsync(rt, again.index), true);
    assert.equal(await deleteLinkAsync(rt, again.index), false);
  });

  test("200 veths are gone with their group, on both sides, in one request, and other groups stay", async () => {
    for (let i = 0; i < 200; i++) createVeth(rt, input(i));
    assert.equal(listLinks(rt, { master: master.index }).length, 200);
    run("ip link add foreign type veth peer name foreign1");
    await warmThreadpool();
    assert.equal(await deleteLinkGroupAsync(rt, group), true);
    assert.equal(deleteLinkGroup(rt, group), false);
    assert.deepEqual(new Set(shown("ip -j link show").map((link) => link["ifname"])), new Set(["lo", "foreign", "foreign1"]));
    assert.deepEqual(
      shown("ip -n guest -j link show").map((link) => link["ifname"]),
      ["lo"],
    );
    run("ip link del foreign");
  });

  test("group 0, where every link begins, is never deleted", () => {
    assert.throws(() => deleteLinkGroup(rt, 0), RangeError);
  });
});
