import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Ip } from "../../src/base/ip.ts";
import type { Mac } from "../../src/base/mac.ts";
import type { IfName, Name } from "../../src/base/names.ts";
import type { Cidr } from "../../src/base/prefix.ts";
import { NexusError } from "../../src/base/errors.ts";
import { environmentText, qemuArguments, type QemuInput } from "../../src/guests/qemu-arguments.ts";
import { kernelWords } from "../../src/guests/qemu-kernel-words.ts";
import { qemuLayout } from "../../src/guests/qemu-layout.ts";
import { blockNode } from "../../src/guests/qemu-disk-arguments.ts";
import { inheritedFds, inheritedQueues, userForwards } from "../../src/guests/qemu-network-arguments.ts";
import { Inherited } from "../../src/guests/qemu-inherited.ts";
import type { VmNic, VmPlan } from "../../src/guests/qemu-plan.ts";
import { refusedForward } from "../../src/guests/qemu-ports.ts";
import { vmSpec, type VmSpecInput } from "../../src/spec/vm.ts";

function planOf(spec: Omit<VmSpecInput, "name"> = {}, nics: readonly VmNic[] = []): VmPlan {
  return {
    id: "1",
    name: "web" as Name,
    spec: vmSpec.parse({ name: "web", ...spec }),
    directory: "/guests/1",
    nics,
    userMac: "02:00:00:00:00:09" as Mac,
    hostname: "web",
    nameservers: ["10.0.0.1" as Ip],
    searchDomains: ["lan.nexus"],
  };
}

const nic = (tap: VmNic["tap"], more: Partial<VmNic> = {}): VmNic => ({
  number: 0,
  tap,
  mac: "02:00:00:00:00:01" as Mac,
  mtuBytes: 1500,
  addresses: ["10.0.0.2/23", "fd00::2/64"] as Cidr[],
  gateways: ["10.0.0.1", "fd00::1"] as Ip[],
  vhost: false,
  ...more,
});

const inputOf = (plan: VmPlan): QemuInput => ({
  plan,
  layout: qemuLayout(plan.directory),
  image: { reference: "mini", key: "k", kernel: { path: "/k", initrd: "/i", cmdline: "quiet" } },
  accel: { kind: "tcg", why: "" },
  sandbox: { kind: "off", why: "" },
  disks: [{ name: "root", path: "/d", format: "qcow2", readOnly: false }],
  inherited: new Inherited(inheritedFds(plan)),
});
const argumentsOf = (plan: VmPlan, sshPort?: number) => qemuArguments({ ...inputOf(plan), ...(sshPort === undefined ? {} : { sshPort }) });

describe("QEMU's command line", () => {
  it("tells a kernel how fast time goes where it cannot find out, before what the user says", () => {
    const input = { ...inputOf(planOf({ machine: "microvm", cmdline: "mine" })), timeStampKhz: 2596122 };
    const words = qemuArguments(input);
    assert.match(words[words.indexOf("-append") + 1] ?? "", /^quiet tsc_early_khz=2596122 tsc=reliable .* mine$/);
    assert.ok(!argumentsOf(planOf()).join(" ").includes("tsc"));
  });

  it("hands the queues of all taps over in order, and asks for multi-queue only when there are several", () => {
    const plan = planOf({}, [
      nic({ kind: "queues", name: "tap0" as IfName, fds: [20, 21] }, { vhost: true }),
      nic({ kind: "queues", name: "tap1" as IfName, fds: [9] }, { number: 1 }),
      nic({ kind: "link", name: "tap7" as IfName, queues: 1 }, { number: 4 }),
    ]);
    assert.deepEqual(inheritedQueues(plan), { tap0: [3, 4], tap1: [5], tap7: [] });
    assert.deepEqual(inheritedFds(plan), [20, 21, 9]);
    const words = argumentsOf(plan).filter((word) => /netdev=|^tap,/.test(word));
    assert.deepEqual(words, [
      "tap,id=net0,fds=3:4,vhost=on,vhostfds=13:14",
      "virtio-net-pci,id=nic0,romfile=,bus=for-nic0,netdev=net0,mac=02:00:00:00:00:01,mq=on,vectors=6,host_mtu=1500",
      "tap,id=net1,fd=5,vhost=off",
      "virtio-net-pci,id=nic1,romfile=,bus=for-nic1,netdev=net1,mac=02:00:00:00:00:01,host_mtu=1500",
      "tap,id=net4,ifname=tap7,script=no,downscript=no,vhost=off",
      "virtio-net-pci,id=nic4,romfile=,bus=for-nic4,netdev=net4,mac=02:00:00:00:00:01,host_mtu=1500",
    ]);
  });

  it("has one card in user mode when there is no network, and none beside when there is", () => {
    const user = argumentsOf(planOf(), 2222).filter((word) => word.startsWith("user,"));
    assert.deepEqual(user, ["user,id=net0,hostname=web,hostfwd=tcp:127.0.0.1:2222-:22"]);
    const bridged = argumentsOf(planOf({}, [nic({ kind: "queues", name: "tap0" as IfName, fds: [9] })]));
    assert.equal(
      bridged.some((word) => word.startsWith("user,")),
      false,
    );
  });

  it("forwards every port of a range, and refuses what user mode cannot carry", () => {
    const publish = [{ protocol: "udp" as const, hostPort: 100, hostPortEnd: 102, guestPort: 200, hostAddress: "127.0.0.2" }];
    assert.deepEqual(userForwards(planOf({ publish }), undefined), [
      "udp:127.0.0.2:100-:200",
      "udp:127.0.0.2:101-:201",
      "udp:127.0.0.2:102-:202",
    ]);
    const v6 = planOf({ publish: [{ hostPort: 1, guestPort: 1, hostAddress: "::1" }] });
    assert.throws(
      () => userForwards(v6, undefined),
      (error) => error instanceof NexusError && error.code === "unsupported",
    );
    assert.equal(refusedForward("-netdev user,…: Could not set up host forwarding rule 'tcp:127.0.0.1:2222-:22'"), 2222);
    assert.equal(refusedForward("something else"), undefined);
  });

  it("boots from the first disk, or from a kernel, and never from both", () => {
    const first = (words: string[]) =>
      words.filter((word) => word.includes("bootindex=0")).length + words.filter((word) => word === "-kernel").length;
    assert.equal(first(argumentsOf(planOf())), 1);
    const onDisk = qemuArguments({ ...inputOf(planOf()), image: { reference: "d", key: "k", disk: { path: "/d", format: "qcow2" } } });
    assert.deepEqual([first(onDisk), onDisk.includes("-kernel")], [1, false]);
  });

  it("a comma in a path is no new option", () => {
    const words = argumentsOf(planOf({ shares: [{ name: "src", source: "/a,readonly=off", readOnly: true }] }));
    assert.ok(words.includes("local,id=share-src,path=/a,,readonly=off,security_model=mapped-xattr,readonly=on"));
  });

  it("has memory that virtiofsd can map, and its connections, when there are any, and nothing of them else", () => {
    const plan = planOf({
      mem: 96,
      shares: [
        { name: "src", source: "/a" },
        { name: "b", source: "/b", readOnly: true },
      ],
    });
    const words = qemuArguments({ ...inputOf(plan), shareFds: [7, 8] });
    assert.deepEqual(
      words.filter((word) => /memory|share-|tag=/.test(word)),
      [
        "memory-backend-memfd,id=memory,size=96M,share=on",
        "q35,graphics=off,vmport=off,hpet=off,memory-backend=memory",
        "socket,id=share-src,fd=7",
        "vhost-user-fs-pci,chardev=share-src,tag=src",
        "socket,id=share-b,fd=8",
        "vhost-user-fs-pci,chardev=share-b,tag=b",
      ],
    );
    assert.equal(
      argumentsOf(plan).some((word) => /memory-backend|vhost-user/.test(word)),
      false,
    );
  });

  it("cards and further disks sit on ports of their own, so that they may go; a disk of ours does not", () => {
    const plan = planOf(
      { disks: [{ name: "data", source: "/data" }] },
      Array.from({ length: 9 }, (_, number) => nic({ kind: "link", name: "t" as IfName, queues: 1 }, { number })),
    );
    const data = { name: "data", path: "/data", format: "raw", readOnly: false } as const;
    const words = qemuArguments({ ...inputOf(plan), disks: [...inputOf(plan).disks, data] });
    const ports = words
      .filter((word) => word.startsWith("pcie-root-port"))
      .map((word) => /id=([^,]*).*addr=(.*)/.exec(word)?.slice(1).join(" "));
    assert.deepEqual(ports.slice(7, 11), ["for-nic7 18.7", "for-nic8 19.0", "for-blk-data 19.1", "slot0 19.2"]);
    assert.ok(words.includes("virtio-blk-pci,drive=disk-data,id=blk-data,serial=data,bus=for-blk-data"));
    assert.ok(words.includes("virtio-blk-pci,drive=disk-root,id=blk-root,serial=root"));
  });

  it("names where each disk's chain of layers ends, whatever the disks say", () => {
    const root = { name: "root", path: "/d", format: "qcow2", readOnly: false, base: { path: "/base", format: "qcow2" } } as const;
    const same = (path: string) => path;
    assert.deepEqual(blockNode(root, same)["backing"], {
      driver: "qcow2",
      "read-only": true,
      backing: null,
      file: { driver: "file", filename: "/base", "read-only": true },
    });
    assert.equal(blockNode({ name: "data", path: "/e", format: "qcow2", readOnly: true }, same)["backing"], null);
    assert.equal(
      "backing" in blockNode({ name: "data", path: "/dev/vdb", format: "raw", readOnly: true }, same),
      false,
      "raw knows no layers",
    );
  });

  it("a microvm has no PCI in its words", () => {
    const words = argumentsOf(planOf({ machine: "microvm" }));
    assert.deepEqual(
      words.filter((word) => /pci/.test(word)),
      [],
    );
  });
});

describe("what a guest without DHCP is told", () => {
  it("is in its kernel's words, with a netmask for every length; the user's come last", () => {
    const plan = planOf({ cmdline: "loglevel=7" }, [nic({ kind: "queues", name: "tap0" as IfName, fds: [1] })]);
    assert.equal(
      kernelWords(plan, "quiet"),
      "quiet nexus.hostname=web ip=10.0.0.2::10.0.0.1:255.255.254.0::eth0:none nexus.ip6=eth0,fd00::2/64,fd00::1 nexus.dns=10.0.0.1 nexus.search=lan.nexus loglevel=7",
    );
    assert.equal(kernelWords(planOf(), ""), "nexus.hostname=web");
  });

  it("variables are quoted for a shell", () => {
    assert.equal(environmentText({ A: "it's", B: "$x\n" }), "export A='it'\\''s'\nexport B='$x\n'\n");
  });
});

describe("a virtual machine's spec", () => {
  it("has defaults, reads sizes, and refuses what contradicts itself", () => {
    const spec = vmSpec.parse({ name: "a", disk: "10G", disks: [{ name: "d", source: "/d", size: "512M" }] });
    assert.deepEqual(
      [spec.image, spec.mem, spec.cpus, spec.disk, spec.disks[0]?.size, spec.machine],
      ["mini", 512, 1, 10 * 2 ** 30, 512 * 2 ** 20, "q35"],
    );
    const refused: [string, Record<string, unknown>][] = [
      ["a size that is none", { disk: "10 GB" }],
      [
        "a disk twice",
        {
          disks: [
            { name: "d", source: "/d" },
            { name: "d", source: "/e" },
          ],
        },
      ],
      ["a disk's name too long for its serial", { disks: [{ name: "d".repeat(21), source: "/d" }] }],
      ["an initrd alone", { initrd: "/i" }],
      ["firmware a microvm lacks", { machine: "microvm", uefi: true }],
      ["an SSH port on a network", { sshPort: 22, networks: [{ network: "lan" }] }],
      ["an unknown key", { memory: 5 }],
      ["a relative path", { kernel: "vmlinuz" }],
    ];
    for (const [why, more] of refused) assert.equal(vmSpec.safeParse({ name: "a", ...more }).success, false, why);
  });
});
