import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { testMini } from "../scripts/test-mini.ts";
import { runScript } from "../src/guests/qga-script.ts";
import { GuestAgent } from "../src/guests/qga.ts";
import { socketNames } from "../src/guests/qemu-layout.ts";
import { withParents, writeCpio } from "../src/images/vm-cpio.ts";
import { withLibraries } from "../src/images/vm-libraries.ts";
import { builtMiniVm } from "../src/images/vm-mini.ts";
import { interleave, median, rounded, until } from "./measure.ts";
import { NexusClient } from "./nexus/client.ts";
import { startDaemon } from "./nexus/daemon.ts";
import { directoryOf, wordsByName } from "./nexus/qemu-words.ts";
import { ip } from "./program.ts";
import type { Benchmark } from "./run.ts";
import { printTable, progress } from "./table.ts";

const seconds = 3;
const plainLink = "plain0";

/**
 * iperf3 between virtual machines and their host, both ways, two streams: two machines on a network of Nexus (its taps have vnet_hdr,
 * its rules apply), one with a queue and one with a queue for each of its two processors; and the same QEMU by hand on a plain tap
 * without vnet_hdr, on a bridge without rules. All three stand idle but the one that is measured.
 */
export const run: Benchmark = async ({ quick }) => {
  await using daemon = await startDaemon();
  using client = new NexusClient(daemon.socket, 4);
  await client.call("POST", "/v1/networks", { name: "bench", subnets: ["10.100.0.0/24"] });
  const boots = withIperf3(daemon.directory);
  const made = async (name: string, queues: number): Promise<Machine> => {
    progress(`boots ${name}`);
    const { body } = await client.call("POST", "/v1/vms", { name, mem: 256, cpus: 2, queues, networks: [{ network: "bench" }], ...boots });
    const { pid } = body as { pid: number };
    return { words: wordsByName(pid), agent: await agentIn(directoryOf(pid), "10.100.0.1"), host: "10.100.0.1" };
  };
  const one = await made("one", 1);
  const two = await made("two", 2);
  const plain = await byHand(one.words, join(daemon.directory, "plain"));
  const server = spawn("iperf3", ["-s"], { stdio: "ignore" });
  try {
    const machines = { plain, one, two };
    progress("interleaved rounds");
    const rounds = quick ? { warmup: 1, measured: 2 } : { warmup: 1, measured: 5 };
    const measure = (direction: string) =>
      interleave(
        {
          plain: () => throughput(machines.plain, direction),
          one: () => throughput(one, direction),
          two: () => throughput(two, direction),
        },
        rounds,
      );
    const [out, back] = [await measure(""), await measure("-R")];
    const ratio = (of: number[], beside: number[]) => rounded(median(of) / median(beside));
    const figures = {
      to_host_vnet_hdr: ratio(out.one, out.plain),
      to_host_multi_queue: ratio(out.two, out.plain),
      from_host_vnet_hdr: ratio(back.one, back.plain),
      from_host_multi_queue: ratio(back.two, back.plain),
      samples: out.plain.length,
    };
    printTable(
      "vm-net: throughput beside a plain tap",
      ["what", "to the host", "from the host"],
      [
        ["nexus, vnet_hdr, one queue", `${figures.to_host_vnet_hdr}×`, `${figures.from_host_vnet_hdr}×`],
        ["nexus, vnet_hdr, two queues", `${figures.to_host_multi_queue}×`, `${figures.from_host_multi_queue}×`],
        ["by hand, plain tap", "1×", "1×"],
      ],
    );
    return figures;
  } finally {
    server.kill();
    plain.qemu.kill("SIGKILL");
    for (const { agent } of [one, two, plain]) agent[Symbol.dispose]();
    for (const name of ["one", "two"]) await client.call("DELETE", `/v1/vms/${name}?force=true`);
  }
};

type Machine = { words: string[]; agent: GuestAgent; host: string };

/** What the mini machine boots, with the host's iperf3 beside it: the kernel unpacks one archive after the other. */
function withIperf3(directory: string): { kernel: string; initrd: string; cmdline: string } {
  const mini = builtMiniVm(testMini);
  if (mini === undefined) throw new Error("the mini virtual machine is not built");
  const added = withLibraries("/", { from: "usr/bin/iperf3", to: "bin/iperf3" }).map((entry) => ({
    ...entry,
    path: entry.path.replace(/^lib64\//, "lib/"),
  }));
  const initrd = join(directory, "initrd");
  writeFileSync(initrd, Buffer.concat([readFileSync(mini.kernel.initrd), writeCpio(withParents(added))]));
  return { kernel: mini.kernel.path, initrd, cmdline: mini.kernel.cmdline };
}

/** The same QEMU with a tap as `ip tuntap` makes it: packets without the header that lets them be large. */
async function byHand(words: readonly string[], directory: string): Promise<Machine & { qemu: ChildProcess }> {
  progress("boots the same by hand");
  ip([
    "link add plain type bridge",
    "addr add 10.101.0.1/24 dev plain",
    "link set plain up",
    `tuntap add dev ${plainLink} mode tap`,
    `link set ${plainLink} master plain up`,
  ]);
  mkdirSync(directory);
  const own = words.map((word) =>
    word.startsWith("tap,id=net0,")
      ? `tap,id=net0,ifname=${plainLink},script=no,downscript=no,vhost=off,vnet_hdr=off`
      : // Its kernel is told its address.
        word.replaceAll("10.100.0.", "10.101.0."),
  );
  const qemu = spawn(own[0] ?? "", own.slice(1), { cwd: directory, stdio: ["ignore", "ignore", "inherit"] });
  const agent = await agentIn(directory, "10.101.0.1");
  return { words: own, agent, host: "10.101.0.1", qemu };
}

/** Bits per second that arrived. */
async function throughput({ agent, host }: Machine, direction: string): Promise<number> {
  const script = 'iperf3 -c "$1" -t "$2" -P 2 -J $3 >/tmp/said; grep bits_per_second /tmp/said | tail -n 1; grep error /tmp/said >&2';
  const { stdout, stderr } = await runScript(agent, script, [host, String(seconds), direction]);
  const bits = Number(/"bits_per_second":\s*([\d.e+]+)/.exec(stdout.toString())?.[1]);
  if (!(bits > 0)) throw new Error(`iperf3 gave nothing: ${stdout.toString()}${stderr}`);
  return bits;
}

/** Once the guest answers, and its card is up. */
async function agentIn(directory: string, host: string): Promise<GuestAgent> {
  let agent: GuestAgent | undefined;
  await until("the agent's answer", 180_000, async () => {
    agent = await GuestAgent.connect(directory, socketNames.agent, { timeoutMs: 120_000 }).catch(() => undefined);
    return agent !== undefined;
  });
  if (agent === undefined) throw new Error(`there is no agent in ${directory}`);
  const reached = await runScript(agent, 'i=0; until ping -c 1 -W 1 "$1"; do i=$((i + 1)); [ $i -lt 50 ] || exit 1; sleep 1; done', [host]);
  if (reached.code !== 0) throw new Error(`a machine does not reach ${host}`);
  return agent;
}
