import { spawnSync } from "node:child_process";
import type { IfName } from "../src/base/names.ts";
import { type Mac, macFromBytes } from "../src/base/mac.ts";
import { createBridge } from "../src/kernel/links.ts";
import { NetlinkSocket } from "../src/kernel/netlink-socket.ts";
import { createTaps, type TapInput } from "../src/kernel/taps.ts";
import { groupOf } from "../src/plan/group.ts";
import { interleave, median, rounded, summarize, timed } from "./measure.ts";
import { ip, runOrThrow } from "./program.ts";
import type { Benchmark } from "./run.ts";
import { printTable, progress } from "./table.ts";

const count = 64;
const bridge = "nexus0" as IfName;
const names = Array.from({ length: count }, (_, n) => `tap${n}` as IfName);

/**
 * 64 taps, made and set up in one go as for virtual machines that start together: on a bridge, up, with MAC, MTU, group, mark and
 * port flags. Beside it `ip tuntap add` for each, which only makes them, and the same with what else there is to set up, in
 * one `ip -batch` after it. Taking them away is not counted.
 */
export const run: Benchmark = async ({ quick }) => {
  using rt = NetlinkSocket.open("route");
  const master = { index: createBridge(rt, { name: bridge, mac: macOf(255), mtuBytes: 1500, group: groupOf(1), up: true }), name: bridge };
  const batchOf = (queues: number) => async (): Promise<number> => {
    const begin = performance.now();
    const taps = createTaps(
      rt,
      names.map((name, n) => inputOf(name, n, { master, queues })),
    );
    const took = performance.now() - begin;
    for (const fd of taps.flat()) fd[Symbol.dispose]();
    return took;
  };
  const byCalls = async (): Promise<number> => {
    const took = await timed(() => names.forEach((name) => spawnSync("ip", ["tuntap", "add", "dev", name, "mode", "tap", "vnet_hdr"])));
    remove();
    return took;
  };
  const byCallsWhole = async (): Promise<number> => {
    const took = await timed(() => {
      names.forEach((name) => spawnSync("ip", ["tuntap", "add", "dev", name, "mode", "tap", "vnet_hdr"]));
      ip(names.flatMap(settings));
      runOrThrow("bridge", ["-batch", "-"], `${names.map((name) => `link set dev ${name} hairpin on isolated on`).join("\n")}\n`);
    });
    remove();
    return took;
  };
  progress("interleaved rounds");
  const rounds = quick ? { warmup: 1, measured: 3 } : { warmup: 2, measured: 15 };
  const samples = await interleave({ batch: batchOf(1), queues4: batchOf(4), calls: byCalls, whole: byCallsWhole }, rounds);
  const [batch, queues4, calls, whole] = [samples.batch, samples.queues4, samples.calls, samples.whole].map(median) as [
    number,
    number,
    number,
    number,
  ];
  const row = (what: string, taken: number[], beside: string) => [what, summarize(taken).p50, summarize(taken).max, beside];
  printTable(
    `tap: milliseconds for ${count} taps`,
    ["what", "p50", "max", "beside"],
    [
      row("one batch, set up", samples.batch, ""),
      row("one batch, set up, 4 queues each", samples.queues4, ""),
      row("ip tuntap add for each, not set up", samples.calls, `${rounded(calls / batch)}× the batch`),
      row("the same and set up by batches of ip and bridge", samples.whole, `${rounded(whole / batch)}× the batch`),
    ],
  );
  return {
    taps: count,
    batch_ms: rounded(batch),
    batch_4_queues_ms: rounded(queues4),
    ip_tuntap_ms: rounded(calls),
    ip_tuntap_set_up_ms: rounded(whole),
    ratio: rounded(calls / batch),
    ratio_set_up: rounded(whole / batch),
    samples: samples.batch.length,
  };
};

function inputOf(name: IfName, n: number, on: Pick<TapInput, "master" | "queues">): TapInput {
  const mac = macOf(n);
  return { name, mac, mtuBytes: 1500, group: groupOf(1), altName: altNameOf(name), port: { isolated: true, hairpin: true }, ...on };
}

function settings(name: IfName, n: number): string[] {
  return [
    `link set dev ${name} address ${macOf(n)} mtu 1500 group ${groupOf(1)} addrgenmode none`,
    `link property add dev ${name} altname ${altNameOf(name)}`,
    `link set dev ${name} master ${bridge} up`,
  ];
}

function altNameOf(name: IfName): string {
  return `nexus:lan:guest:0:${name}`;
}

function macOf(n: number): Mac {
  return macFromBytes(Uint8Array.of(6, 0x5e, 0, 0, 0, n));
}

function remove(): void {
  ip(names.map((name) => `link delete dev ${name}`));
}
