import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { after, before, describe, it } from "node:test";
import type { Ip } from "../../src/base/ip.ts";
import type { Mac } from "../../src/base/mac.ts";
import type { IfName } from "../../src/base/names.ts";
import type { Cidr } from "../../src/base/prefix.ts";
import type { VmNic, VmPlan } from "../../src/guests/qemu-plan.ts";
import { openTap } from "../../src/sys/tap.ts";
import { QemuBed } from "./qemu-bed.ts";
import { until } from "../kernel/oci-bed.ts";

describe("a virtual machine on bridges", () => {
  let bed: QemuBed;
  let plan: VmPlan;
  const ip = (...words: string[]) => execFileSync("ip", words, { encoding: "utf8" });
  const links = () => (JSON.parse(ip("-j", "link", "show")) as { ifname: string }[]).map((link) => link.ifname);

  before(async () => {
    ip("link", "add", "br0", "type", "bridge");
    ip("addr", "add", "10.9.0.1/24", "dev", "br0");
    ip("addr", "add", "fd00:9::1/64", "dev", "br0", "nodad");
    ip("link", "set", "br0", "up");
    bed = new QemuBed();
    const name = "vtest0" as IfName;
    using queues = new DisposableStack();
    const fds = [true, false].map((create) => queues.use(openTap({ name, multiQueue: true, vnetHeader: true, create }).fd).number);
    ip("link", "set", name, "master", "br0", "up");
    const nic: VmNic = {
      number: 0,
      tap: { kind: "queues", name, fds },
      mac: "02:00:5e:10:00:07" as Mac,
      mtuBytes: 1400,
      addresses: ["10.9.0.2/24", "fd00:9::2/64"] as Cidr[],
      gateways: ["10.9.0.1", "fd00:9::1"] as Ip[],
      vhost: false,
    };
    plan = bed.plan("bridged", { cpus: 2, queues: 2, networks: [{ network: "lan" }] }, [nic]);
    Object.assign(plan, { nameservers: ["10.9.0.1"], searchDomains: ["lan.nexus"] });
    await bed.boot(plan);
  });
  after(async () => {
    await bed[Symbol.asyncDispose]();
  });

  it("has the addresses, MTU, resolver and queues it was given, and no second card", async () => {
    await until(
      "the guest's network is set up",
      async () => (await bed.shell(plan, "ip -6 route show default")).out.includes("fd00:9::1"),
      20_000,
    );
    const seen = await bed.shell(
      plan,
      "ip -4 -o addr show dev eth0; ip -6 -o addr show dev eth0; ip route; cat /sys/class/net/eth0/mtu /etc/resolv.conf; ls /sys/class/net/eth0/queues | wc -l; ls /sys/class/net | wc -l",
    );
    for (const part of ["10.9.0.2/24", "fd00:9::2/64", "default via 10.9.0.1", "\n1400\n", "nameserver 10.9.0.1\nsearch lan.nexus\n4\n2\n"])
      assert.ok(seen.out.includes(part), `${part} is not in ${seen.out}`);
    execFileSync("ping", ["-c", "1", "-W", "5", "10.9.0.2"]);
    execFileSync("ping", ["-c", "1", "-W", "5", "fd00:9::2"]);
  });

  it("takes a card while it runs, and lets it go", async () => {
    const name = "vtest1" as IfName;
    using queue = openTap({ name, multiQueue: false, vnetHeader: true, create: true }).fd;
    ip("link", "set", name, "master", "br0", "up");
    const nic: VmNic = {
      number: 1,
      tap: { kind: "queues", name, fds: [queue.number] },
      mac: "02:00:5e:10:00:08" as Mac,
      mtuBytes: 1500,
      addresses: [],
      gateways: [],
      vhost: false,
    };
    await bed.driver.addNic(plan, nic);
    queue[Symbol.dispose]();
    assert.deepEqual(await bed.driver.devices(plan), { nics: [0, 1], disks: [] });
    assert.deepEqual([...bed.driver.tapQueues(plan).keys()], ["vtest0", "vtest1"]);
    assert.equal(bed.driver.tapQueues(plan).get("vtest1")?.length, 1);
    await until(
      "the guest has the card",
      async () => (await bed.shell(plan, "cat /sys/class/net/eth1/address")).out === "02:00:5e:10:00:08\n",
      10_000,
    );
    await bed.driver.removeNic(plan, 1);
    assert.equal((await bed.shell(plan, "ls /sys/class/net")).out, "eth0\nlo\n");
    await until("the tap went with its card", () => !links().includes("vtest1"), 5000);
  });

  it("takes its tap along when it ends, for nobody else holds it", async () => {
    assert.ok(links().includes("vtest0"));
    assert.equal(await bed.driver.stop(plan, 20_000), "graceful");
    await until("the tap is gone", () => !links().includes("vtest0"), 5000);
  });
});
