import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { NexusError } from "../base/errors.ts";
import { setLimits } from "../kernel/cgroup-limits.ts";
import { memoryEvents, pidsRefused } from "../kernel/cgroups.ts";
import { listenOnLoopback } from "../kernel/loopback.ts";
import { encodeJob, type Job } from "./bubblewrap-arguments.ts";
import type { Confinement } from "./bubblewrap-confinement.ts";
import { type Ids, ownerMayRun, type WorkspaceTree } from "./bubblewrap-owner.ts";
import { type Ground, type Prepared, type Up, type Wanted, wordsOf } from "./bubblewrap-prepare.ts";
import { sandboxProcess } from "./bubblewrap-process.ts";
import { furnish } from "./bubblewrap-stage.ts";
import type { PreparedStock } from "./bubblewrap-stock.ts";
import { serveListener } from "./sandbox-network.ts";
import type { SandboxPlan, SandboxProcess } from "./sandbox.ts";

/** Where it is written which cgroup a run has, for a daemon that comes after a crash. */
export const cgroupFile = "cgroup";

/** bubblewrap outside and the shell inside, which are not the command's. */
export const ownProcesses = 2;

/** Turns a sandbox that waits into the plan's, and begins. @throws NexusError `runtime-failed`, `limit-refused`, `unsupported`; KernelError; the signal's reason */
export async function startPlanned(
  plan: SandboxPlan,
  from: { ground: Ground; stock: Pick<PreparedStock, "take"> },
  signal: AbortSignal,
): Promise<SandboxProcess> {
  const { ground, stock } = from;
  await using stack = new AsyncDisposableStack();
  const wanted: Wanted = { network: plan.egress.kind === "host" ? "host" : "own", ...(plan.terminal && { terminal: plan.terminal }) };
  const { prepared, tree } = await withWorkspace(plan.workspace, ground, (as) => stock.take(as === undefined ? wanted : { ...wanted, as }));
  stack.use(prepared);
  using workspace = tree;
  signal.throwIfAborted();
  const { cgroup, netns } = prepared;
  const { memoryBytes, cpus, pids, scratchBytes } = plan.limits;
  writeFileSync(join(plan.directory, cgroupFile), cgroup.path, { mode: 0o600 });
  setLimits(cgroup.host, cgroup.path, { memoryBytes, cpus, pids: pids + ownProcesses });
  if (plan.egress.kind === "proxy" && netns !== undefined)
    stack.use(serveListener(listenOnLoopback(netns, plan.egress.port), plan.egress.serve));
  if (plan.workspace !== undefined) ground.stage.makeTarget(plan.workspace.target);
  furnish(prepared.mounts, { scratchBytes, workspace: workspace && { tree: workspace.tree, target: plan.workspace?.target ?? "" } });
  return await begin(plan, prepared, { stack, signal });
}

/** Gives the first process its job; what `stack` holds is the sandbox's from then on. @throws as `startPlanned` */
export async function begin(
  plan: SandboxPlan,
  up: Up & { cgroup: Confinement["cgroup"] },
  { stack, signal, rlimits }: { stack: AsyncDisposableStack; signal: AbortSignal; rlimits?: Job["rlimits"] },
): Promise<SandboxProcess> {
  const { limits, cwd, env, command } = plan;
  up.gate.write(encodeJob({ openFiles: limits.openFiles, cwd, env, command, ...(rlimits && { rlimits }) }));
  if ((await up.gate.line(signal)) === undefined) throw refusal(plan, up.cgroup, await wordsOf(up.streams));
  up.gate.close();
  const held = stack.move();
  return sandboxProcess({ ...up, plan, held });
}

/**
 * A sandbox, and the workspace as that one may write it. Where a file system's owners cannot be mapped, the sandbox is not a user of
 * its own but the owner.
 */
async function withWorkspace(
  workspace: SandboxPlan["workspace"],
  ground: Ground,
  take: (as?: Ids) => Promise<Prepared>,
): Promise<{ prepared: Prepared; tree: WorkspaceTree | undefined }> {
  await using stack = new AsyncDisposableStack();
  const prepared = stack.use(await take());
  if (workspace === undefined) return { prepared, tree: (stack.move(), undefined) };
  const tree = stack.use(await ground.identities.workspace(workspace, prepared.ids));
  if (tree.as === "run") {
    stack.move();
    return { prepared, tree };
  }
  const again = await take(ownerMayRun(workspace));
  await prepared[Symbol.asyncDispose]();
  stack.move();
  return { prepared: again, tree };
}

/** The first process has said why on the command's errors. */
function refusal(plan: SandboxPlan, cgroup: Confinement["cgroup"], said: string): NexusError {
  const details = { run: plan.id, said };
  const { memoryBytes, pids, openFiles } = plan.limits;
  const limit = (what: string): NexusError =>
    new NexusError("limit-refused", `a command cannot start within ${what}: ${said}`, { details });
  if (cgroup !== undefined && memoryEvents(cgroup.host, cgroup.path).oomKills > 0) return limit(`${memoryBytes} bytes of memory`);
  if (cgroup !== undefined && pidsRefused(cgroup.host, cgroup.path) > 0) return limit(`${pids} processes`);
  if (/ulimit/.test(said)) return limit(`${openFiles} open files`);
  return new NexusError("runtime-failed", `sandbox ${plan.id} did not come up as asked: ${said}`, { details });
}
