import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { GuestView } from "../../src/spec/views.ts";
import * as host from "../chaos/host.ts";
import { Program, Workshop } from "../kernel/dhcp-bed.ts";
import { shown } from "../kernel/iproute.ts";
import { networkdIn, networkdState } from "../kernel/networkd.ts";
import { until } from "../kernel/world/until.ts";
import { MachineBed } from "./machine-bed.ts";
import { useStandIn } from "./stand-in.ts";

/** Real clients at the taps of virtual machines, served by the daemon through its own rules. */
describe("a virtual machine's DHCP client", { timeout: 240_000 }, () => {
  let bed: MachineBed;
  const workshop = new Workshop();
  before(async () => {
    await useStandIn();
    bed = await MachineBed.make();
    await bed.must("network", "create", "lan", "--subnet", "10.74.0.0/24", "--ipv6", "--mtu", "1400");
  });
  after(async () => {
    await bed[Symbol.asyncDispose]();
    workshop[Symbol.dispose]();
  });

  const plug = async (name: string): Promise<{ vm: GuestView; addresses: string[]; netns: string }> => {
    await host.sh("ip", "netns", "add", `vm-${name}`);
    const vm = await bed.create({ name, networks: [{ network: "lan" }] });
    await until(`${name} has its card`, () => host.shTry("ip", "-n", `vm-${name}`, "link", "show", "dev", "eth0", "up"));
    const addresses = vm.attachments[0]?.addresses.map((cidr) => cidr.split("/")[0] as string) ?? [];
    return { vm, addresses, netns: `vm-${name}` };
  };

  test("busybox udhcpc gets its address, route, resolver, MTU and name, and renews them", async () => {
    const { addresses, netns } = await plug("udhcpc");
    const script = workshop.script("once", "ip addr replace $ip/$mask dev eth0");
    const words = ["busybox", "udhcpc", "-f", "-i", "eth0", "-s", script, "-t", "10", "-T", "1", "-O", "mtu", "-O", "search"];
    await using client = new Program(netns, words);
    const said = await workshop.event("once.bound");
    assert.deepEqual(
      [said["ip"], said["mask"], said["router"], said["dns"], said["hostname"], said["domain"], said["mtu"]],
      [addresses[0], "24", "10.74.0.1", "10.74.0.1", "udhcpc", "lan.nexus", "1400"],
      client.words,
    );
    client.child.kill("SIGUSR1");
    assert.equal((await workshop.event("once.renew"))["ip"], addresses[0]);
    assert.equal(await host.shTry("ip", "netns", "exec", netns, "ping", "-c", "1", "-W", "5", "10.74.0.1"), true);
  });

  test("ISC dhclient on two machines cloned from one, with the same identifier: each gets its own address", async () => {
    const seen = [];
    for (const name of ["clone1", "clone2"]) {
      const { addresses, netns } = await plug(name);
      const conf = workshop.file(
        `${name}.conf`,
        'send dhcp-client-identifier = "cloned machine";\nrequest subnet-mask, routers, host-name;\n',
      );
      const files = [
        "-sf",
        workshop.script(name),
        "-cf",
        conf,
        "-lf",
        `${workshop.path}/${name}.leases`,
        "-pf",
        `${workshop.path}/${name}.pid`,
      ];
      await using client = new Program(netns, ["dhclient", "-1", "-d", "-v", ...files, "eth0"]);
      const said = await workshop.event(`${name}.BOUND`);
      assert.deepEqual([said["new_ip_address"], said["new_host_name"]], [addresses[0], name], client.words);
      seen.push(said["new_ip_address"]);
    }
    assert.equal(new Set(seen).size, 2);
  });

  test("systemd-networkd gets both of its addresses, routes, resolvers and domain", async () => {
    const { addresses, netns } = await plug("networkd");
    await using client = new Program(netns, networkdIn(workshop));
    const globals = () =>
      ((shown(`ip -n ${netns} -j addr show dev eth0`)[0]?.["addr_info"] ?? []) as { local: string; scope: string }[])
        .flatMap(({ local, scope }) => (scope === "global" ? [local] : []))
        .toSorted();
    await until("it has both addresses", () => globals().join() === addresses.toSorted().join(), 30_000).catch((error: Error) =>
      assert.fail(`${error.message}: ${globals().join()}\n${client.words}`),
    );
    assert.equal(shown(`ip -n ${netns} -j route show default`)[0]?.["gateway"], "10.74.0.1");
    const gateway6 = (await bed.client.call("network.get", { params: { name: "lan" } })).subnets[1]?.gateway;
    await until("it knows resolvers and domain", () => /^DNS=10\.74\.0\.1 [^]*^DOMAINS=lan\.nexus/m.test(networkdState(workshop)));
    assert.equal(await host.shTry("ip", "netns", "exec", netns, "ping", "-6", "-c", "1", "-W", "5", gateway6 ?? ""), true);
  });

  test("iPXE in a card's ROM takes the lease before there is any system", async () => {
    const vm = await bed.create({ name: "pxe-boot", networks: [{ network: "lan" }] });
    const address = vm.attachments[0]?.addresses[0]?.split("/")[0] ?? assert.fail();
    let console = "";
    await until(
      "iPXE shows its address",
      async () => (console = await bed.must("vm", "logs", "pxe-boot")).includes(`net0: ${address}/255.255.255.0 gw 10.74.0.1`),
      60_000,
    ).catch((error: Error) => assert.fail(`${error.message}: ${console}`));
  });

  test("the network shows who has which address; after all are gone nothing is left", async () => {
    const { leases } = await bed.client.call("network.get", { params: { name: "lan" } });
    const guests = await bed.client.call("guest.list");
    assert.deepEqual(
      leases.map((lease) => `${lease.guest} ${lease.mac}`).toSorted(),
      guests.flatMap((guest) => guest.attachments.flatMap((a) => a.addresses.map(() => `${guest.name} ${a.mac}`))).toSorted(),
    );
    await bed.allIsWell();
    await bed.must("vm", "rm", "--force", ...guests.map((guest) => guest.name as string));
    await bed.allIsWell();
    assert.deepEqual((await bed.client.call("network.get", { params: { name: "lan" } })).leases, []);
  });

  test("a hundred machines come, and go, and leave nothing", async () => {
    const names = Array.from({ length: 100 }, (_, n) => `many-${n}`);
    const spec = (name: string) => ({ name, networks: [{ network: "lan" }] });
    const batches = Array.from({ length: 10 }, (_, n) => names.slice(n * 10, n * 10 + 10));
    for (const batch of batches) await Promise.all(batch.map((name) => bed.create(spec(name))));
    await bed.allIsWell();
    for (const batch of batches)
      await Promise.all(batch.map((name) => bed.client.call("vm.remove", { params: { name }, query: { force: true } })));
    await bed.allIsWell();
  });
});
