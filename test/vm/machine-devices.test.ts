import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { VmSpec } from "../../src/spec/vm.ts";
import { until } from "../kernel/world/until.ts";
import { MachineBed } from "./machine-bed.ts";

describe("networks and disks of a virtual machine that runs", { timeout: 240_000 }, () => {
  let bed: MachineBed;
  before(async () => {
    bed = await MachineBed.make();
    await bed.must("network", "create", "lan", "--subnet", "10.74.0.0/24");
    await bed.must("network", "create", "lab", "--subnet", "10.75.0.0/24", "--ipv6");
    await bed.must("node", "create", "box", "--network", "lab");
    await bed.must("vm", "create", "web", "--mem", "128", "--network", "lan");
    await bed.ready("web");
  });
  after(async () => {
    await bed[Symbol.asyncDispose]();
  });

  const inVm = async (line: string) => {
    const { code, out, err } = await bed.shell("web", line);
    assert.equal(code, 0, `${line}: ${out}${err}`);
    return out;
  };
  const reachesBox = async (card: string) => {
    await until("the card is there", async () => (await bed.shell("web", `ip link set ${card} up`)).code === 0);
    const { mac, addresses } = (await bed.vm("web")).attachments[1] ?? assert.fail("no second card");
    const address = addresses[0]?.split("/")[0] ?? assert.fail();
    assert.equal(await inVm(`cat /sys/class/net/${card}/address`), `${mac}\n`);
    const lease = await inVm(`udhcpc -i ${card} -n -q -f -t 10 -T 1 -s /etc/lease 2>&1`);
    assert.match(lease, new RegExp(`lease of ${address} obtained from 10\\.75\\.0\\.1,`));
    await inVm(`ip -4 -o addr show dev ${card} | grep -q ${address} || ip addr add ${address}/24 dev ${card}`);
    assert.match(await inVm("ping -4 -c 2 -W 5 box.lab.nexus"), / 0% packet loss/);
    assert.match(await bed.must("node", "exec", "box", "--", "ping", "-4", "-c", "2", "-W", "5", "web.lab.nexus"), / 0% packet loss/);
    return address;
  };

  test("a second network: its lease, its names, its rules; the same address when it comes again; nothing left when it goes", async () => {
    await bed.must("vm", "attach", "web", "--network", "lab");
    const address = await reachesBox("eth1");
    await bed.allIsWell();
    const { code, err } = await bed.nexus("vm", "attach", "web", "--network", "lab");
    assert.notEqual(code, 0);
    assert.match(err, /network lab is named twice/);
    await bed.must("vm", "detach", "web", "--network", "lab");
    assert.equal(await inVm("ls /sys/class/net"), "eth0\nlo\n");
    assert.equal((await bed.nexus("node", "exec", "box", "--", "nslookup", "web.lab.nexus")).code, 1);
    await bed.allIsWell();
    await bed.must("vm", "attach", "web", "--network", "lab");
    assert.equal(await reachesBox("eth1"), address);
    await bed.must("vm", "detach", "web", "--network", "lab");
  });

  test("the card it began with can go when another is there, and published ports lead where it still is", async () => {
    await inVm("mkdir -p /srv && echo here >/srv/index.html && httpd -h /srv -p 80");
    await bed.client.call("guest.change", { params: { name: "web" }, body: { publish: [{ hostPort: 28580, guestPort: 80 }] } });
    await bed.must("vm", "attach", "web", "--network", "lab");
    await reachesBox("eth1");
    await bed.must("vm", "detach", "web", "--network", "lan");
    await until("the card is gone", async () => (await inVm("ls /sys/class/net")) === "eth1\nlo\n");
    await bed.allIsWell();
    assert.equal((await bed.vm("web")).attachments[0]?.network, "lab");
    await bed.must("vm", "attach", "web", "--network", "lan");
    await bed.must("vm", "detach", "web", "--network", "lab");
    await bed.must("vm", "restart", "web", "--grace", "20");
    await bed.ready("web");
    // Its agent may answer before the network has.
    await until("it has its address", async () => /10\.74\.0\./.test(await inVm("ip -4 -o addr show dev eth0")));
    await bed.allIsWell();
  });

  test("disks come, made when they are not there, and go; what is on them stays", async () => {
    const serials = () => inVm("cat /sys/block/vd*/serial 2>/dev/null; true");
    await bed.must("vm", "attach", "web", "--volume", "data:8M");
    await until("the disk is there", async () => (await serials()) === "data");
    assert.match(await inVm("cat /proc/partitions"), /8192 vda/);
    await inVm("echo kept | dd of=/dev/vda conv=fsync 2>/dev/null");
    await bed.must("vm", "detach", "web", "--volume", "data");
    assert.equal(await serials(), "");
    const refused = await bed.nexus("vm", "attach", "web", "--volume", "/no/such.qcow2");
    assert.match(refused.err, /there is no \/no\/such\.qcow2/);
    assert.deepEqual(((await bed.vm("web")).spec as VmSpec).disks, []);
    await bed.must("vm", "attach", "web", "--volume", "data");
    await until("the disk is back", async () => (await serials()) === "data");
    assert.equal(await inVm("head -c 5 /dev/vda"), "kept\n");
    await bed.must("vm", "detach", "web", "--volume", "data");
  });

  test("a card comes with a policy of its own, which changes without the card", async () => {
    const restricted = () => execFileSync("nft", ["list", "set", "inet", "nexus", "egress4"], { encoding: "utf8" });
    await bed.must("vm", "attach", "web", "--network", "lab", "--egress", "none");
    const address = (await bed.vm("web")).attachments[1]?.addresses[0]?.split("/")[0] ?? assert.fail();
    assert.ok(restricted().includes(address), restricted());
    await reachesBox("eth1");
    const egress = { lab: { mode: "unrestricted" as const, allow: [] } };
    await bed.client.call("guest.change", { params: { name: "web" }, body: { egress } });
    assert.equal(restricted().includes(address), false);
    const lan = { network: "lan", egress: { mode: "none" as const, allow: [] } };
    await bed.client.call("guest.change", { params: { name: "web" }, body: { networks: [lan] } });
    const { attachments } = await bed.vm("web");
    assert.deepEqual([attachments.length, restricted().includes(attachments[0]?.addresses[0]?.split("/")[0] ?? "none")], [1, true]);
    await bed.client.call("guest.change", { params: { name: "web" }, body: { egress: { lan: egress.lab } } });
    assert.equal(await inVm("ls /sys/class/net"), "eth0\nlo\n");
    await bed.allIsWell();
  });

  test("a change that a killed daemon had written down and not carried out is finished by the next", async () => {
    const { pid } = await bed.vm("web");
    process.kill(pid ?? assert.fail(), "SIGSTOP");
    const changing = bed.nexus("vm", "attach", "web", "--network", "lab", "--volume", "data");
    const written = async () =>
      (await bed.client.call("network.get", { params: { name: "lab" } })).leases.some(({ guest }) => guest === "web");
    await until("it is written down", written);
    await bed.daemon.end("SIGKILL");
    assert.notEqual((await changing).code, 0);
    process.kill(pid ?? assert.fail(), "SIGCONT");
    await bed.daemon.start();
    await bed.vmIs("web", "runs on", (vm) => vm.state === "running" && vm.pid === pid);
    await reachesBox("eth1");
    assert.equal(await inVm("cat /sys/block/vda/serial"), "data");
    await bed.allIsWell();
    await bed.must("vm", "detach", "web", "--network", "lab", "--volume", "data");
    await bed.allIsWell();
  });

  test("what the guest does not let go of stays its own", async () => {
    await bed.must("vm", "attach", "web", "--network", "lab");
    const { pid } = await bed.vm("web");
    process.kill(pid ?? assert.fail(), "SIGSTOP");
    const { code, err } = await bed.nexus("vm", "detach", "web", "--network", "lab");
    process.kill(pid ?? assert.fail(), "SIGCONT");
    assert.notEqual(code, 0);
    assert.match(err, /within \d+ ms/);
    assert.deepEqual(
      (await bed.vm("web")).attachments.map((a) => a.network as string),
      ["lan", "lab"],
    );
    await reachesBox("eth1");
    await bed.allIsWell();
    await bed.must("vm", "detach", "web", "--network", "lab");
  });

  test("what cannot be is refused, and nothing changes", async () => {
    await bed.must("vm", "create", "tiny", "--mem", "128", "--machine", "microvm", "--network", "lan");
    const alone = await bed.nexus("vm", "create", "alone", "--mem", "128", "--no-run");
    assert.match(alone.err, /alone is in user mode: it reaches what this host reaches, .* but for the host itself and its networks/);
    const refuses = async (args: string[], words: RegExp) => {
      const { code, err } = await bed.nexus("vm", ...args);
      assert.notEqual(code, 0);
      assert.match(err, words);
    };
    await refuses(["attach", "tiny", "--network", "lab"], /microvm.*\n.*stop it, change it, and start it again/);
    await refuses(["attach", "alone", "--network", "lab"], /it is in user mode/);
    await refuses(["detach", "tiny", "--network", "lan"], /it would be in user mode/);
    await refuses(["attach", "web", "--network", "none"], /there is no network none/);
    await refuses(["attach", "web", "--network", "lab:10.9.9.9"], /10\.9\.9\.9 is outside network lab|named twice/);
    await refuses(["detach", "web", "--volume", "other"], /web has no disk of other/);
    await refuses(["attach", "web"], /no network and no volume is given/);
    await bed.must("vm", "stop", "tiny", "--grace", "0");
    await bed.must("vm", "attach", "tiny", "--network", "lab");
    await bed.must("vm", "start", "tiny");
    // An emulated one hangs in its first second when nothing tells its kernel how fast time goes.
    const asked = "for i in $(seq 100); do ip -o -4 addr show eth0 | grep inet && exit; sleep 0.2; done";
    assert.match((await bed.shell("tiny", asked)).out, /inet 10\./);
    assert.equal((await bed.vm("tiny")).attachments.length, 2);
    await bed.must("vm", "rm", "tiny", "--force");
    await bed.must("vm", "rm", "alone", "--force");
    await bed.allIsWell();
  });

  test("UEFI firmware starts a machine, and what it keeps in its variables stays with the machine", async () => {
    const disk = join(bed.daemon.places.stateDir, "empty.qcow2");
    execFileSync("qemu-img", ["create", "-q", "-f", "qcow2", disk, "64M"]);
    await bed.must("vm", "create", "uefi", "--mem", "256", "--uefi", "--image", disk);
    await until("the firmware speaks", async () => /UEFI Interactive Shell/.test(await bed.must("vm", "logs", "uefi")), 60_000);
    await bed.must("vm", "stop", "uefi", "--grace", "0");
    const guests = join(bed.daemon.places.stateDir, "guests");
    const own = readdirSync(guests).find((name) => name.startsWith("uefi-")) ?? assert.fail("no directory");
    const variables = join(guests, own, "firmware.vars");
    assert.ok(!readFileSync(variables).equals(readFileSync("/usr/share/OVMF/OVMF_VARS_4M.fd")), "the firmware noted what it can boot");
    const { ino } = statSync(variables);
    await bed.must("vm", "start", "uefi");
    assert.equal(statSync(variables).ino, ino, "they are not made anew");
    await bed.must("vm", "rm", "uefi", "--force");
    await bed.allIsWell();
  });

  test("up gives a machine of a project a network while it runs", async () => {
    const directory = join(bed.daemon.places.stateDir, "project");
    mkdirSync(directory);
    const file = (networks: string) =>
      writeFileSync(
        join(directory, "nexus-compose.yaml"),
        `networks: {one: , two: }\nvms:\n  db: {memory: 128, networks: [${networks}]}\n`,
      );
    file("one");
    const up = () => bed.must("up", "-f", join(directory, "nexus-compose.yaml"));
    await up();
    await bed.ready("project-db");
    const { pid } = await bed.vm("project-db");
    file("one, two");
    assert.match(await up(), /change project-db in place: networks|project-db/);
    assert.equal((await bed.vm("project-db")).pid, pid);
    await until("the card is there", async () => (await bed.shell("project-db", "ls /sys/class/net")).out === "eth0\neth1\nlo\n");
    file("two");
    await up();
    assert.equal((await bed.vm("project-db")).pid, pid);
    await until("the card is gone", async () => (await bed.shell("project-db", "ls /sys/class/net")).out === "eth1\nlo\n");
    await bed.allIsWell();
    assert.ok(readFileSync(join(directory, "nexus-compose.yaml"), "utf8").includes("[two]"));
  });
});
