import { NexusError } from "../base/errors.ts";
import { reservedVariable } from "./bubblewrap-arguments.ts";
import type { SandboxPlan } from "./sandbox.ts";

/**
 * Holds a plan to what its type cannot say, before anything is made. `taken`: names at the top of the command's root that no
 * workspace may hide. @throws NexusError `usage` naming what is wrong
 */
export function checkPlan(plan: SandboxPlan, taken: ReadonlySet<string>): void {
  const { workspace, limits } = plan;
  const texts = [...plan.command, plan.cwd, ...Object.entries(plan.env).flat()];
  const first = workspace?.target.split("/")[1] ?? "";
  const faults = [
    /^[A-Za-z0-9][A-Za-z0-9-]{0,99}$/.test(plan.id) ? [] : ["its id has other characters than letters, digits and -, or is too long"],
    texts.every((text) => !text.includes("\0")) ? [] : ["a word has a NUL character in it"],
    Object.keys(plan.env).every((name) => /^[A-Za-z_][A-Za-z0-9_]*$/.test(name) && !reservedVariable.test(name))
      ? []
      : ["a variable has a name no shell would take, or one that begins with _nexus_"],
    plan.command[0] === "" ? ["its command is empty"] : [],
    plan.cwd.startsWith("/") ? [] : ["its directory is not absolute"],
    workspace === undefined || isPlain(workspace.target) ? [] : [`its workspace cannot be at ${workspace.target}`],
    workspace === undefined || !taken.has(first) ? [] : [`its workspace cannot be below /${first}, which comes with the root file system`],
    ...Object.entries(limits).map(([name, value]) => (Number.isFinite(value) && value > 0 ? [] : [`${name} is ${value}`])),
    limits.openFiles < fewestFiles ? [`it needs at least ${fewestFiles} open files`] : [],
  ].flat();
  if (faults.length > 0) throw new NexusError("usage", `run ${plan.id}: ${faults.join("; ")}`);
}

/** What a shell takes to start a command. */
const fewestFiles = 16;

/** Absolute, without `.`, `..`, empty parts or characters a mount table would escape. */
function isPlain(path: string): boolean {
  return /^(\/[A-Za-z0-9_][A-Za-z0-9._-]*)+$/.test(path);
}
