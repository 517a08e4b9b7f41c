import { readFileSync } from "node:fs";
import { interleave, median } from "../measure.ts";
import { progress } from "../table.ts";
import { rate } from "./client.ts";
import type { ProxyPeer } from "./peers.ts";

/** Requests per second, and microseconds of processor the proxy's process spent on each: the steadier figure on a busy machine. */
export type Speed = { perSecond: number; cpuUs: number };
export type Speeds = { fresh: Speed; kept?: Speed; connect: Speed };

const clients = 16;

export async function speeds(all: readonly (ProxyPeer & { pid: number })[], quick: boolean): Promise<Map<string, Speeds>> {
  const rounds = quick ? { warmup: 0, measured: 1 } : { warmup: 1, measured: 5 };
  const measure = async (way: "http" | "connect", keep: boolean, some: typeof all) => {
    progress(`${way}${keep ? ", kept" : ""}: ${some.map((peer) => peer.name).join(", ")}`);
    const cpu = new Map<string, number[]>();
    const one = (peer: (typeof all)[number]) => async () => {
      const before = cpuMs(peer.pid);
      const { perSecond, count } = await rate({ kind: way, proxy: peer.port }, { clients, seconds: 1, keep });
      const spent = cpu.get(peer.name) ?? [];
      cpu.set(peer.name, [...spent, ((cpuMs(peer.pid) - before) * 1000) / count]);
      return perSecond;
    };
    const samples = await interleave(Object.fromEntries(some.map((peer) => [peer.name, one(peer)])), rounds);
    const speed = (name: string): Speed => ({
      perSecond: Math.round(median(samples[name] ?? [])),
      cpuUs: Math.round(median(cpu.get(name) ?? [])),
    });
    return new Map(some.map(({ name }) => [name, speed(name)]));
  };
  const fresh = await measure("http", false, all);
  const keeping = all.filter((peer) => peer.keepsAlive);
  const kept = await measure("http", true, keeping);
  const connect = await measure("connect", false, all);
  const none = { perSecond: 0, cpuUs: 0 };
  return new Map(
    all.map(({ name }) => {
      const persistent = kept.get(name);
      return [
        name,
        { fresh: fresh.get(name) ?? none, connect: connect.get(name) ?? none, ...(persistent === undefined ? {} : { kept: persistent }) },
      ];
    }),
  );
}

/** Of user and kernel, all threads (proc_pid_stat(5) fields 14 and 15, in ticks of 10 ms). */
function cpuMs(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) * 10;
}
