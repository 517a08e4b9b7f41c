import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { NexusError } from "../base/errors.ts";
import type { CgroupHost } from "../kernel/cgroups.ts";
import type { SandboxDriver, SandboxPlan } from "./sandbox.ts";

/** `root`: the directory with the root file system it is tried with; undefined is the driver's own. */
type Subject = { driver: Pick<SandboxDriver, "start">; program: string; limits: string; root: string | undefined };

/** A driver's `check`: runs a command. `subject` may throw what keeps it from being tried. */
export async function checkByDoing(subject: () => Subject): ReturnType<SandboxDriver["check"]> {
  try {
    const { driver, program, limits, root } = subject();
    refuseSetuid(program);
    const { stdout } = await promisify(execFile)(program, ["--version"], { timeout: deadlineMs });
    const begun = performance.now();
    await runNothing(driver, root);
    return { works: true, detail: `${stdout.trim()} ran a command in ${Math.round(performance.now() - begun)} ms; ${limits}` };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const hint = error instanceof NexusError && error.hint !== undefined ? { hint: error.hint } : {};
    return { works: false, reason, ...hint };
  }
}

/** How groups of processes are limited, in words. */
export function cgroupLimits(host: CgroupHost): string {
  return `memory, processors and processes limited by cgroups (${host.mode})`;
}

/** With the host's root behind it, every fault of bubblewrap is one of the host. It needs no such rights where users may make namespaces. */
function refuseSetuid(program: string): void {
  if ((statSync(program).mode & 0o4000) === 0) return;
  throw new NexusError("not-permitted", `${program} is set-user-id root`, { hint: `chmod u-s ${program}` });
}

async function runNothing(driver: Subject["driver"], root: string | undefined): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "nexus-check-"));
  try {
    const plan: SandboxPlan = {
      id: `check-${process.pid}`,
      // All that a root file system must have.
      command: ["/bin/sh", "-c", ":"],
      env: { PATH: "/usr/bin:/bin" },
      cwd: "/",
      limits: { memoryBytes: 64 << 20, cpus: 1, pids: 20, openFiles: 64, scratchBytes: 1 << 20 },
      egress: { kind: "none" },
      ...(root === undefined ? {} : { root: { lower: root } }),
      directory,
    };
    await using sandbox = await driver.start(plan, AbortSignal.timeout(deadlineMs));
    sandbox.stdout.resume();
    sandbox.stderr?.resume();
    const { code } = await sandbox.exit;
    if (code !== 0) throw new NexusError("runtime-failed", `a shell ended with ${code} in a sandbox`);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

const deadlineMs = 20_000;
