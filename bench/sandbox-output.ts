import { createHash } from "node:crypto";
import { openClient } from "../src/api/client.ts";
import { rounded, timed } from "./measure.ts";
import { residentMib, startDaemon } from "./nexus/daemon.ts";
import type { BenchmarkOptions } from "./run.ts";
import { printTable } from "./table.ts";

/** A gigabyte from a sandbox to a client that hashes it: how fast it comes, how much the daemon grows, and whether it is all there. */
export async function run(options: BenchmarkOptions): Promise<Record<string, unknown>> {
  await using daemon = await startDaemon();
  const client = openClient(daemon.socket);
  using _close = { [Symbol.dispose]: () => client.close() };
  const mib = options.quick ? 128 : 1024;
  const script = `i=0; while [ $i -lt ${mib} ]; do head -c 1048576 /usr/bin/perl; i=$((i+1)); done`;
  const taken = async (outputLimit: string) => {
    const before = residentMib(daemon.pid);
    let most = before;
    const watch = setInterval(() => (most = Math.max(most, residentMib(daemon.pid))), 20);
    const hash = createHash("sha256");
    let bytes = 0;
    const ms = await timed(async () => {
      const call = await client.run({ command: ["sh", "-c", script], cpus: 2, outputLimit });
      void call.send({ kind: "stdin-end" });
      await call.finish((_stream, piece) => {
        bytes += piece.length;
        hash.update(piece);
      });
    });
    clearInterval(watch);
    return { ms, bytes, grown: most - before, hash: hash.digest("hex") };
  };
  await taken("2M");
  const shown = await taken("4G");
  const cut = await taken("2M");
  const wanted = await hashOf(script);
  const rate = (ms: number) => (mib / ms) * 1000;
  printTable(
    `sandbox-output: ${mib} MiB from an untrusted sandbox`,
    ["what", "MiB/s", "daemon grew, MiB", "bytes at the client", "hash"],
    [
      ["all of it to the client", rate(shown.ms), shown.grown, shown.bytes, shown.hash === wanted ? "equal" : "DIFFERS"],
      ["beyond the limit of 2 MiB", rate(cut.ms), cut.grown, cut.bytes, ""],
    ],
  );
  return {
    mib_per_s: rounded(rate(shown.ms)),
    grown_mib: rounded(shown.grown),
    hash_equal: shown.hash === wanted,
    beyond_limit_mib_per_s: rounded(rate(cut.ms)),
    beyond_limit_grown_mib: rounded(cut.grown),
  };
}

async function hashOf(script: string): Promise<string> {
  const { spawn } = await import("node:child_process");
  const child = spawn("sh", ["-c", script], { stdio: ["ignore", "pipe", "inherit"] });
  const hash = createHash("sha256");
  for await (const piece of child.stdout as AsyncIterable<Buffer>) hash.update(piece);
  return hash.digest("hex");
}
