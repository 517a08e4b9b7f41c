import { after, before, describe, test } from "node:test";
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeSync } from "node:fs";
import { KernelError } from "../../src/base/errors.ts";
import { NetlinkSocket } from "../../src/kernel/netlink-socket.ts";
import { createTaps, type TapInput, TapStock } from "../../src/kernel/taps.ts";
import { duplicate, type Fd } from "../../src/sys/fd.ts";
import type { Json } from "../golden/captured.ts";
import { bridge, group, mac, name, run, shown } from "./iproute.ts";
import { until } from "./world/until.ts";

describe("taps for virtual machines", () => {
  let rt: NetlinkSocket;
  let master: ReturnType<typeof bridge>;
  before(() => {
    rt = NetlinkSocket.open("route");
    master = bridge(rt);
  });
  after(() => rt[Symbol.dispose]());

  const input = (n: number, more: Partial<TapInput> = {}): TapInput => ({
    name: name(`tap${n}`),
    mac: mac(`06:00:00:00:00:${(n % 256).toString(16).padStart(2, "0")}`),
    mtuBytes: 1400,
    group,
    master,
    altName: `nexus:lan:g${n}:0:tap${n}`,
    port: { isolated: true, hairpin: true },
    queues: 1,
    ...more,
  });
  const taps = () => shown("ip -j -d link show").filter((link) => String(link["ifname"]).startsWith("tap"));
  const close = (all: readonly Fd[][]) => all.flat().forEach((fd) => fd[Symbol.dispose]());

  for (const queues of [1, 4, 256])
    test(`with ${queues} queues have what was asked of them, as another program sees it, and go with the last descriptor`, () => {
      const [fds = []] = createTaps(rt, [input(0, { queues })]);
      const link = taps()[0] ?? assert.fail();
      const { info_data: data, info_slave_data: port } = link["linkinfo"] as Record<string, Json>;
      assert.deepEqual(
        {
          fds: fds.length,
          type: data?.["type"],
          vnet: data?.["vnet_hdr"],
          multi: data?.["multi_queue"],
          queues: data?.["numqueues"] ?? 1,
          persist: data?.["persist"],
          mtu: link?.["mtu"],
          mac: link?.["address"],
          master: link?.["master"],
          group: Number(link?.["group"]),
          marks: link?.["altnames"],
          isolated: port?.["isolated"],
          hairpin: port?.["hairpin"],
          up: (link["flags"] as unknown as string[]).includes("UP"),
          addresses: link?.["inet6_addr_gen_mode"],
        },
        {
          fds: queues,
          type: "tap",
          vnet: true,
          multi: queues > 1,
          queues,
          persist: false,
          mtu: 1400,
          mac: "06:00:00:00:00:00",
          master: "nexus0",
          group,
          marks: ["nexus:lan:g0:0:tap0"],
          isolated: true,
          hairpin: true,
          up: true,
          addresses: "none",
        },
      );
      const last = fds.pop();
      close([fds]);
      assert.equal(taps().length, 1);
      last?.[Symbol.dispose]();
      assert.deepEqual(taps(), []);
    });

  test("64 are made in one go; with one of them refused, none is", () => {
    const many = Array.from({ length: 64 }, (_, n) => input(n));
    const made = createTaps(rt, many);
    assert.equal(taps().filter((link) => link["master"] === "nexus0").length, 64);
    close(made);
    assert.deepEqual(taps(), []);
    const refusals: [string, TapInput][] = [
      ["EBUSY", { ...input(63), name: name("tap7") }],
      ["EEXIST", input(63, { altName: "nexus:lan:g7:0:tap7" })],
      ["EINVAL", input(63, { mtuBytes: 70_000 })],
      ["ENODEV", input(63, { master: { index: 99_999, name: "nowhere" } })],
    ];
    for (const [errno, bad] of refusals) {
      assert.throws(
        () => createTaps(rt, [...many.slice(0, 63), bad]),
        (error) => error instanceof KernelError && (error.errno === errno || (errno === "ENODEV" && error.errno === "EINVAL")),
        errno,
      );
      assert.deepEqual(taps(), [], errno);
    }
  });

  test("wait in the stock until they are handed over; one made again under a name takes the place of the first", () => {
    using stock = new TapStock();
    const [first = []] = createTaps(rt, [input(1, { queues: 2 })]);
    stock.put(name("tap1"), first);
    assert.deepEqual(
      stock.numbers(name("tap1")),
      first.map((fd) => fd.number),
    );
    using handed = duplicate(first[0] ?? assert.fail());
    stock.close(name("tap1"));
    assert.equal(stock.numbers(name("tap1")), undefined);
    assert.equal(taps().length, 1, "it lives with whoever has it");
    handed[Symbol.dispose]();
    assert.deepEqual(taps(), []);
  });

  test("that were deleted come to life again with the queues another process has, whatever it is", async () => {
    const wanted = input(2, { queues: 2 });
    const [queues = []] = createTaps(rt, [wanted]);
    const child = spawn("sleep", ["1000"], { stdio: ["ignore", "ignore", "ignore", ...queues.map((fd) => fd.number)] });
    const holder = { pid: child.pid ?? 0, fds: [3, 4] };
    await until("the child has them", () => taps().length === 1 && run(`ls /proc/${holder.pid}/fd`).includes("4"));
    close([queues]);
    try {
      assert.throws(() => createTaps(rt, [{ ...wanted, holder }]), KernelError, "they are alive");
      assert.equal(taps().length, 1);
      run("ip link del tap2");
      assert.throws(() => createTaps(rt, [{ ...wanted, holder, master: { index: 99_999, name: "nowhere" } }]), KernelError);
      assert.deepEqual(taps(), [], "a part is not left behind");
      const [again = []] = createTaps(rt, [{ ...wanted, holder }]);
      writeSync(again[1]?.number ?? 0, Buffer.alloc(72));
      close([again]);
      const [link] = taps();
      assert.deepEqual([link?.["master"], link?.["altnames"], link?.["mtu"]], ["nexus0", ["nexus:lan:g2:0:tap2"], 1400]);
      assert.match(run(`cat /proc/${holder.pid}/fdinfo/4`), /iff:\ttap2/);
    } finally {
      const ended = once(child, "exit");
      child.kill("SIGKILL");
      await ended;
    }
    assert.deepEqual(taps(), []);
    assert.throws(
      () => createTaps(rt, [{ ...wanted, holder }]),
      (error) => error instanceof KernelError && error.errno === "ESRCH",
    );
  });
});
