import { spawn } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { until } from "../measure.ts";
import { cacheDirectory } from "../mini.ts";
import { NexusClient } from "./client.ts";

/** The launcher people use: it decides how the daemon is run. */
const entry = fileURLToPath(new URL("../../nexusd", import.meta.url));

/** A nexusd of our own, with its state on the real disk and everything else under the private /run. */
export type Daemon = AsyncDisposable & { pid: number; socket: string; directory: string };

export async function startDaemon(options: { config?: string } = {}): Promise<Daemon> {
  // State must pay for its fsync: not below /run, which is memory here.
  const directory = mkdtempSync("/var/tmp/nexus-bench-");
  const socket = "/run/nexus-bench.sock";
  const log = openSync(join(directory, "log"), "a");
  const args = ["--state-dir", join(directory, "state"), "--run-dir", "/run/nexus-bench", "--socket", socket];
  const child = spawn(entry, options.config === undefined ? args : [...args, "--config", options.config], {
    stdio: ["ignore", log, log],
    env: { ...process.env, NEXUS_CACHE_DIR: cacheDirectory },
  });
  closeSync(log);
  const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));

  const dispose = async (): Promise<void> => {
    child.kill("SIGTERM");
    const timer = setTimeout(() => child.kill("SIGKILL"), 20_000);
    await ended;
    clearTimeout(timer);
    rmSync(directory, { recursive: true, force: true });
  };

  try {
    using client = new NexusClient(socket);
    await until("nexusd answering", 30_000, async () => {
      if (child.exitCode !== null) throw new Error(`nexusd ended with ${child.exitCode}:\n${readFileSync(join(directory, "log"), "utf8")}`);
      return await client.call("GET", "/v1/networks").then(
        () => true,
        () => false,
      );
    });
  } catch (cause) {
    await dispose();
    throw cause;
  }
  return { pid: child.pid ?? 0, socket, directory, [Symbol.asyncDispose]: dispose };
}

/** Resident memory of a process in MiB (VmRSS of /proc/PID/status). */
export function residentMib(pid: number): number {
  const kib = /^VmRSS:\s*(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
  return Number(kib) / 1024;
}
