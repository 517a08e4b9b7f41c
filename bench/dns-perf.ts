import { spawn } from "node:child_process";
import { once } from "node:events";

export type PerfResult = { qps: number; averageMs: number; maxMs: number; sent: number; lost: number; noError: number };

/** Runs dnsperf over a query file for some seconds. @throws Error with its words when it fails */
export async function dnsperf(target: { port: number; queries: string; seconds: number }): Promise<PerfResult> {
  const child = spawn("dnsperf", [
    "-s",
    "127.0.0.1",
    "-p",
    String(target.port),
    "-d",
    target.queries,
    "-l",
    String(target.seconds),
    "-c",
    "8",
  ]);
  let text = "";
  child.stdout.on("data", (chunk: Buffer) => (text += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (text += chunk.toString()));
  const [code] = (await once(child, "close")) as [number | null];
  const number = (pattern: RegExp) => Number(pattern.exec(text)?.[1] ?? Number.NaN);
  const result = {
    qps: number(/Queries per second:\s+([\d.]+)/),
    averageMs: number(/Average Latency \(s\):\s+([\d.]+)/) * 1000,
    maxMs: number(/Average Latency \(s\):.*max ([\d.]+)/) * 1000,
    sent: number(/Queries sent:\s+(\d+)/),
    lost: number(/Queries lost:\s+(\d+)/),
    noError: Number(/NOERROR (\d+)/.exec(text)?.[1] ?? 0),
  };
  if (code !== 0 || Object.values(result).some(Number.isNaN)) throw new Error(`dnsperf failed (${code}):\n${text}`);
  return result;
}
