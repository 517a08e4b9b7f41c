import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { openClient } from "../src/api/client.ts";
import { interleave, percentile, rounded, timed } from "./measure.ts";
import { startDaemon } from "./nexus/daemon.ts";
import { srtDirectory } from "./proxy/peers.ts";
import type { BenchmarkOptions } from "./run.ts";
import { printTable, progress } from "./table.ts";

const nexus = fileURLToPath(new URL("../nexus", import.meta.url));
const quiet = { stdio: "ignore" } as const;

/**
 * `true` in an untrusted sandbox with the proxy on, from the request to its exit code: at the API from a client that runs, and as a
 * whole `nexus run`; beside bubblewrap alone, and sandbox-runtime as a library whose proxies run already.
 */
export async function run(options: BenchmarkOptions): Promise<Record<string, unknown>> {
  await using daemon = await startDaemon();
  const client = openClient(daemon.socket);
  using _close = { [Symbol.dispose]: () => client.close() };
  const request = { command: ["true"], net: { allow: ["example.com:443"] } };
  const atApi = async (): Promise<number> => {
    const took = await timed(async () => {
      const call = await client.run(request);
      void call.send({ kind: "stdin-end" });
      const code = await call.finish(() => undefined);
      if (code !== 0) throw new Error(`true ended with ${code}`);
    });
    return await rested(took);
  };
  const env = { ...process.env, NEXUS_SOCKET: daemon.socket };
  const words = ["run", "--allow", "example.com:443", "--", "true"];
  const srt = await sandboxRuntime();
  const contestants = {
    api: atApi,
    cli: async () => await rested(await commandMs(nexus, words, env)),
    bwrap: () => commandMs("bwrap", ["--unshare-all", "--ro-bind", "/", "/", "true"]),
    ...(srt === undefined ? {} : { srt }),
  };
  progress("interleaved rounds");
  const samples = await interleave<string>(contestants, { warmup: 5, measured: options.quick ? 20 : 200 });
  progress("one after the other, without a pause");
  const busy: number[] = [];
  for (let i = 0; i < (options.quick ? 20 : 100); i++)
    busy.push(
      await timed(async () => {
        const call = await client.run(request);
        void call.send({ kind: "stdin-end" });
        await call.finish(() => undefined);
      }),
    );

  const row = (what: string, taken: number[]) => [what, percentile(taken, 0.5), percentile(taken, 0.95), percentile(taken, 0.99)];
  const name: Record<string, string> = {
    api: "nexus, at the API",
    cli: "nexus run, whole command",
    bwrap: "bwrap --unshare-all true",
    srt: "sandbox-runtime, library",
  };
  printTable(
    "sandbox-run: milliseconds for `true`",
    ["what", "p50", "p95", "p99"],
    [...Object.entries(samples).map(([key, taken]) => row(name[key] ?? key, taken)), row("nexus, at the API, without a pause", busy)],
  );
  const figures = Object.entries({ ...samples, busy }).flatMap(([key, taken]) => [
    [`${key}_p50_ms`, rounded(percentile(taken, 0.5))],
    [`${key}_p95_ms`, rounded(percentile(taken, 0.95))],
  ]);
  return { ...(Object.fromEntries(figures) as Record<string, number>), samples: samples["api"]?.length };
}

const pauseMs = 30;

/** The next comes as a user's would: not the very next moment, in which the daemon makes another sandbox ahead. */
async function rested(took: number): Promise<number> {
  await new Promise((resolve) => setTimeout(resolve, pauseMs));
  return took;
}

async function commandMs(program: string, args: string[], env: NodeJS.ProcessEnv = process.env): Promise<number> {
  return await timed(async () => {
    const child = spawn(program, args, { ...quiet, env });
    const [code] = (await once(child, "exit")) as [number];
    if (code !== 0) throw new Error(`${program} ended with ${code}`);
  });
}

type Manager = {
  initialize(config: unknown): Promise<void>;
  wrapWithSandbox(command: string): Promise<string>;
};

/** Undefined where it is not installed, or does not work. */
async function sandboxRuntime(): Promise<(() => Promise<number>) | undefined> {
  if (!existsSync(srtDirectory)) return undefined;
  try {
    const { SandboxManager } = (await import(join(srtDirectory, "dist/index.js"))) as { SandboxManager: Manager };
    await SandboxManager.initialize({
      network: { allowedDomains: ["example.com"], deniedDomains: [] },
      filesystem: { denyRead: [], allowWrite: ["/tmp"], denyWrite: [] },
    });
    const one = () =>
      timed(async () => {
        const command = await SandboxManager.wrapWithSandbox("true");
        const [code] = (await once(spawn(command, { ...quiet, shell: true }), "exit")) as [number];
        if (code !== 0) throw new Error(`sandbox-runtime ended with ${code}`);
      });
    await one();
    return one;
  } catch (error) {
    progress(`sandbox-runtime is left out: ${String(error)}`);
    return undefined;
  }
}
