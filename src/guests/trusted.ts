import { chmodSync, existsSync, lstatSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { NexusError } from "../base/errors.ts";
import { setLimits } from "../kernel/cgroup-limits.ts";
import { type CgroupHost, killCgroup, removeCgroup } from "../kernel/cgroups.ts";
import { mount, mountOverlay } from "../kernel/mounts.ts";
import { endRun, type Judgement, runForeground } from "./foreground.ts";
import { runtimeArguments, runtimeErrors } from "./oci-launch.ts";
import { layoutOf, type OciLayout } from "./oci-layout.ts";
import { containerCgroup } from "./oci-limits.ts";
import { findInit, hasExecuted } from "./oci-process.ts";
import { cgroupVersion } from "./oci-runtime.ts";
import { removeTree } from "./remove-tree.ts";
import type { RootImage } from "./rootfs.ts";
import type { SandboxDriver, SandboxLimits, SandboxPlan } from "./sandbox.ts";
import { openSandboxNetwork } from "./sandbox-network.ts";
import { type RuntimeCommand, runtimeCall } from "./supervisor.ts";
import { writeSandboxEtc, writeTrustedConfig } from "./trusted-config.ts";

export type TrustedOptions = {
  /** The root file system commands run on whose plan names none; each run gets a layer of its own over it. */
  image: () => Promise<RootImage>;
  /** The OCI runtime that works here. */
  runtime: () => Promise<RuntimeCommand>;
  cgroups: CgroupHost;
  /** All runs' cgroups are below it. */
  cgroupParent: string;
  startDeadlineMs?: number;
};

/** The trusted profile by an OCI runtime: a container without capabilities, in a network of its own. */
export function createTrustedDriver(options: TrustedOptions): SandboxDriver {
  const { cgroups } = options;
  const groupOf = (id: string): string => `${options.cgroupParent}/${id}`;
  const removal = (run: Pick<SandboxPlan, "directory">) => (): Promise<void> => removeTree(run.directory);
  return {
    name: "oci",
    root: "image",

    async check() {
      try {
        const { program } = await options.runtime();
        return { works: true, detail: program };
      } catch (error) {
        if (!(error instanceof NexusError)) throw error;
        return { works: false, reason: error.message, ...(error.hint === undefined ? {} : { hint: error.hint }) };
      }
    },

    async start(plan, signal) {
      const runtime = await options.runtime();
      const image = plan.root ?? (await options.image());
      const layout = layoutOf(plan.directory);
      const cgroup = groupOf(plan.id);
      const ending = { cgroups, cgroup, remove: removal(plan) };
      using stack = new DisposableStack();
      try {
        const network = plan.egress.kind === "host" ? undefined : stack.use(openSandboxNetwork(plan.egress));
        prepareRoot(layout, { image, scratchBytes: plan.limits.scratchBytes });
        writeTrustedConfig({
          plan,
          layout,
          netns: network?.path,
          cgroupPath: containerCgroup(cgroup),
          cgroupVersion: cgroupVersion(cgroups),
        });
        await killCgroup(cgroups, cgroup);
        removeCgroup(cgroups, cgroup);
        setLimits(cgroups, cgroup, resourcesOf(plan.limits));
      } catch (error) {
        await endRun(ending);
        throw error;
      }
      const held = stack.move();
      const remove = async (): Promise<void> => {
        held.dispose();
        await ending.remove();
      };
      const words = [...runtimeArguments(layout, layout.runtimeLog), "run", "--bundle", layout.directory, "--pid-file", layout.pid];
      return runForeground(
        {
          ...ending,
          remove,
          plan,
          command: (socket) => runtimeCall(runtime, [...words, ...(socket === undefined ? [] : ["--console-socket", socket]), plan.id]),
          handsTerminalOver: runtime.program !== "runc",
          findCommand: () => runningInit(layout, cgroup),
          judge: (code) => judge(layout, plan.command[0], code),
          deadlineMs: options.startDeadlineMs ?? 15_000,
        },
        signal,
      );
    },

    sweep: (run) => endRun({ cgroups, cgroup: groupOf(run.id), remove: removal(run) }),
  };
}

export function resourcesOf(limits: SandboxLimits): { memoryBytes: number; cpus: number; pids: number } {
  return { memoryBytes: limits.memoryBytes, cpus: limits.cpus, pids: limits.pids };
}

/** What it writes beside the workspace goes to memory of a size of its own, and is gone with it. */
function prepareRoot(layout: OciLayout, from: { image: Pick<RootImage, "lower">; scratchBytes: number }): void {
  const scratch = join(layout.directory, "scratch");
  for (const directory of [layout.directory, scratch, layout.rootfs, layout.etc]) mkdirSync(directory, { recursive: true, mode: 0o755 });
  mount({ source: "none", target: scratch, type: "tmpfs", flags: ["noDev", "noSuid"], data: `size=${from.scratchBytes},mode=755` });
  const [upper, work] = [join(scratch, "upper"), join(scratch, "work")];
  for (const directory of [upper, work]) mkdirSync(directory, { mode: 0o755 });
  // Images of one program may have none, and every command may write there.
  if (lstatSync(join(from.image.lower, "tmp"), { throwIfNoEntry: false }) === undefined) {
    mkdirSync(join(upper, "tmp"));
    chmodSync(join(upper, "tmp"), 0o1777);
  }
  mountOverlay({ lower: [from.image.lower], upper, work, target: layout.rootfs });
  // Images may hold device nodes; those a sandbox is to have are on its /dev.
  mount({ source: "none", target: layout.rootfs, flags: ["remount", "bind", "noDev", "noSuid"] });
  writeSandboxEtc(layout.etc);
}

function runningInit(layout: OciLayout, cgroup: string): number | undefined {
  const pid = existsSync(layout.pid) ? findInit(layout, cgroup)?.pid : undefined;
  return pid !== undefined && hasExecuted(pid) ? pid : undefined;
}

/** A command that is not there, or may not be run, is the caller's fault and told as a shell tells it. */
function judge(layout: OciLayout, command: string, code: number): Judgement {
  const words = runtimeErrors(layout).join("; ");
  if (words === "" || code === 0) return { code };
  if (!/exec/i.test(words)) return { refused: words };
  return refusedCommand(command, words) ?? { refused: words };
}

/** What a shell would say of a command, by the words of a runtime that could not run it. */
export function refusedCommand(command: string, words: string): { code: number; words: string } | undefined {
  if (/exec format error/i.test(words)) return { code: 126, words: `${command}: Exec format error` };
  if (/permission denied|not permitted/i.test(words)) return { code: 126, words: `${command}: Permission denied` };
  if (!/no such file or directory|not found/i.test(words)) return undefined;
  return { code: 127, words: `${command}: ${command.includes("/") ? "No such file or directory" : "command not found"}` };
}
