import { existsSync } from "node:fs";
import { makeNetns, type Peer, removeNetns } from "./peer.ts";
import { runOrThrow } from "../program.ts";

const directory = "/usr/lib/cni";

/** The reference chain bridge (with host-local), portmap, firewall: one process per plugin, each given the result of the one before (CNI spec 1.0 §2). */
export function cniChain(): Peer {
  if (!existsSync(`${directory}/bridge`)) throw new Error(`${directory} is missing; apt-get install containernetworking-plugins`);
  const results = new Map<number, unknown>();
  return {
    name: "cni",
    attach(slot) {
      makeNetns("cni", slot);
      const begin = performance.now();
      let result: unknown;
      for (const plugin of chain) result = JSON.parse(callPlugin("ADD", { plugin, slot, result }));
      results.set(slot, result);
      return performance.now() - begin;
    },
    detach(slot) {
      const begin = performance.now();
      for (const plugin of chain.toReversed()) callPlugin("DEL", { plugin, slot, result: results.get(slot) });
      const ms = performance.now() - begin;
      removeNetns("cni", slot);
      return ms;
    },
  };
}

type Plugin = { type: string; [key: string]: unknown };

const chain: readonly Plugin[] = [
  {
    type: "bridge",
    bridge: "cni-bench0",
    isGateway: true,
    ipMasq: true,
    hairpinMode: true,
    ipam: { type: "host-local", dataDir: "/run/cni-bench", ranges: [[{ subnet: "10.202.0.0/16" }]], routes: [{ dst: "0.0.0.0/0" }] },
  },
  { type: "portmap", capabilities: { portMappings: true } },
  { type: "firewall", backend: "iptables" },
];

function callPlugin(command: "ADD" | "DEL", call: { plugin: Plugin; slot: number; result: unknown }): string {
  const config = {
    cniVersion: "1.0.0",
    name: "bench",
    ...call.plugin,
    ...(call.plugin.type === "portmap"
      ? { runtimeConfig: { portMappings: [{ hostPort: 25000 + call.slot, containerPort: 80, protocol: "tcp" }] } }
      : {}),
    ...(call.result === undefined ? {} : { prevResult: call.result }),
  };
  const env = {
    CNI_COMMAND: command,
    CNI_CONTAINERID: `bench-${call.slot}`,
    CNI_NETNS: `/run/netns/cni-${call.slot}`,
    CNI_IFNAME: "eth0",
    CNI_PATH: directory,
  };
  return runOrThrow(`${directory}/${call.plugin.type}`, [], JSON.stringify(config), env);
}
