import { readlinkSync } from "node:fs";
import { limitsOfProcess, weightForShares } from "./limits.ts";
import { Disproof } from "./patience.ts";
import { runProgram } from "./programs.ts";
import type { Scene } from "./scene.ts";
import type { GuestView, NetworkView } from "../../spec/views.ts";

type IpLink = { operstate: string; addr_info: { local?: string; prefixlen?: number }[] };

/** Every bridge is up with its gateway addresses, as `ip` sees it. */
export async function bridgesUp(networks: Iterable<NetworkView>, path: string): Promise<string> {
  const seen: string[] = [];
  for (const network of networks) {
    const { code, stdout, stderr } = await runProgram(["ip", "-j", "addr", "show", "dev", network.bridge], { path });
    if (code !== 0) throw new Disproof(`bridge ${network.bridge} of ${network.name}: ${stderr.trim()}`);
    const [link] = JSON.parse(stdout) as IpLink[];
    const there = (link?.addr_info ?? []).map((address) => `${address.local}/${address.prefixlen}`);
    for (const { prefix, gateway } of network.subnets) {
      const wanted = `${gateway}/${prefix.split("/")[1]}`;
      if (!there.includes(wanted)) throw new Disproof(`bridge ${network.bridge} lacks ${wanted}; it has ${there.join(", ")}`);
    }
    seen.push(`${network.name} on ${network.bridge} (${network.subnets.map((s) => s.gateway).join(", ")})`);
  }
  return seen.join(", ");
}

/** Every node runs, in a network namespace of its own. */
export async function nodesApart(nodes: Iterable<GuestView>): Promise<string> {
  const namespaces = new Map([[readlinkSync("/proc/self/ns/net"), "the host"]]);
  const seen: string[] = [];
  for (const node of nodes) {
    if (node.state !== "running" || node.pid === undefined) {
      throw new Disproof(
        [`node ${node.name} is ${node.state}`, node.problem, ...(node.exit?.lastLines ?? [])]
          .filter((line) => line !== undefined)
          .join("\n"),
      );
    }
    const namespace = readlinkSync(`/proc/${node.pid}/ns/net`);
    const other = namespaces.get(namespace);
    if (other !== undefined) throw new Disproof(`${node.name} shares the network namespace of ${other}`);
    namespaces.set(namespace, node.name);
    seen.push(`${node.name} ${node.attachments.flatMap((a) => a.addresses.map((cidr) => cidr.split("/")[0])).join(" ")}`);
  }
  return seen.join(", ");
}

/** What the kernel holds db to is what the example asks. */
export async function limits(scene: Scene): Promise<string> {
  const { pid } = scene.node("db");
  const asked = scene.example.nodes.find((node) => node.name === scene.node("db").name);
  if (pid === undefined || asked?.mem === undefined || asked.cpu === undefined || asked.pids === undefined)
    throw new Disproof("the example asks no limits of db");
  const kept = limitsOfProcess(pid);
  const cpu = kept.cpu.version === 1 ? asked.cpu : weightForShares(asked.cpu);
  const wanted = [
    ["memory", asked.mem * 1024 * 1024, kept.memoryBytes],
    [kept.cpu.version === 1 ? "cpu.shares" : "cpu.weight", cpu, kept.cpu.value],
    ["pids", asked.pids, kept.pids],
  ] as const;
  for (const [what, want, got] of wanted) if (want !== got) throw new Disproof(`db: ${what} is ${got} in the kernel, not ${want}`);
  return `db, read from its cgroup (v${kept.cpu.version}): ${wanted.map(([what, , got]) => `${what} ${got}`).join(", ")}`;
}

/** What is there is what was asked: applying it again would do nothing. */
export async function secondApply(scene: Scene): Promise<string> {
  const { steps } = await scene.client.call("plan.pending");
  if (steps.length > 0) throw new Disproof(`${steps.length} steps are pending:\n${steps.slice(0, 5).join("\n")}`);
  return "zero steps";
}
