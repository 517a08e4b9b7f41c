import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { createBubblewrapDriver } from "../src/guests/bubblewrap.ts";
import type { SandboxPlan } from "../src/guests/sandbox.ts";
import { NamespaceStock } from "../src/kernel/namespace-stock.ts";
import { warmThreadpool } from "../src/kernel/service.ts";
import { interleave, percentile, rounded } from "./measure.ts";
import type { Benchmark } from "./run.ts";
import { printTable, progress } from "./table.ts";

/**
 * `true` in a sandbox, from the call to its end: bubblewrap by itself, started by the same process with no limits, no filter and no
 * workspace; and Nexus's driver with all of them and a proxy's listener, when sandboxes made ahead are there, and when the runs
 * follow each other so closely that each has to wait for its own.
 */
export const run: Benchmark = async ({ quick }) => {
  await warmThreadpool();
  using stock = new NamespaceStock();
  const directory = mkdtempSync(join(tmpdir(), "nexus-bench-"));
  const workspace = join(directory, "workspace");
  mkdirSync(workspace);
  try {
    await using driver = createBubblewrapDriver({ namespaces: stock, cgroupParent: "/nexus-bench" });
    let runs = 0;
    const sandboxed = async (): Promise<number> => {
      const plan = planOf(`run-${runs++}`, directory, workspace);
      const begin = performance.now();
      const sandbox = await driver.start(plan, AbortSignal.timeout(30_000));
      await sandbox.exit;
      const took = performance.now() - begin;
      await sandbox[Symbol.asyncDispose]();
      return took;
    };
    const afterPause = async (work: () => Promise<number>): Promise<number> => {
      await delay(pauseMs);
      return await work();
    };
    progress("interleaved rounds");
    const rounds = quick ? { warmup: 2, measured: 10 } : { warmup: 5, measured: 200 };
    const samples = await interleave({ bare: () => afterPause(bare), ahead: () => afterPause(sandboxed) }, rounds);
    progress("one after the other");
    const close: number[] = [];
    for (let i = 0; i < rounds.measured; i++) close.push(await sandboxed());
    const [p50, p95] = [0.5, 0.95].map((q) => (taken: number[]) => percentile(taken, q)) as [Percentile, Percentile];
    const row = (what: string, taken: number[]) => [what, p50(taken), p95(taken), `+${rounded(p50(taken) - p50(samples.bare))} ms`];
    printTable(
      "sandbox: milliseconds from start to exit of `true`",
      ["what", "p50", "p95", "beside bubblewrap"],
      [row("bubblewrap alone", samples.bare), row("nexus, made ahead", samples.ahead), row("nexus, one after the other", close)],
    );
    return {
      bare_p50_ms: rounded(p50(samples.bare)),
      bare_p95_ms: rounded(p95(samples.bare)),
      driver_p50_ms: rounded(p50(samples.ahead)),
      driver_p95_ms: rounded(p95(samples.ahead)),
      back_to_back_p50_ms: rounded(p50(close)),
      back_to_back_p95_ms: rounded(p95(close)),
    };
  } finally {
    rmSync(directory, { recursive: true });
  }
};

type Percentile = (taken: number[]) => number;

/** Longer than making the next one takes. */
const pauseMs = 60;

function planOf(id: string, directory: string, source: string): SandboxPlan {
  return {
    id,
    command: ["true"],
    env: { PATH: "/usr/bin:/bin" },
    cwd: "/workspace",
    workspace: { source, target: "/workspace", owner: { uid: 0, gid: 0 } },
    limits: { memoryBytes: 256 << 20, cpus: 1, pids: 100, openFiles: 256, scratchBytes: 64 << 20 },
    egress: { kind: "proxy", port: 9080, serve: (connection) => connection.end() },
    directory,
  };
}

function bare(): Promise<number> {
  const words =
    "--unshare-all --ro-bind /usr /usr --symlink usr/bin /bin --symlink usr/lib /lib --symlink usr/lib64 /lib64 --dev /dev --proc /proc";
  const begin = performance.now();
  return new Promise((resolve, reject) => {
    const child = spawn("bwrap", [...words.split(" "), "--tmpfs", "/tmp", "--die-with-parent", "--", "true"], { stdio: "pipe" });
    child.once("error", reject);
    child.once("exit", () => resolve(performance.now() - begin));
  });
}
