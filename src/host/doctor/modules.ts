import { spawnSync } from "node:child_process";
import { NexusError } from "../../base/errors.ts";

/** Loads a kernel module with modprobe(8); says so. @throws NexusError runtime-missing or runtime-failed */
export function loadModule(name: string): string {
  const done = spawnSync("modprobe", ["--", name], { encoding: "utf8", timeout: 20_000 });
  if (done.error !== undefined)
    throw new NexusError("runtime-missing", "modprobe is not installed", {
      cause: done.error,
      hint: "install kmod, or boot a kernel that has it built in",
    });
  if (done.status !== 0) throw new NexusError("runtime-failed", `modprobe ${name}: ${done.stderr.trim()}`);
  return `loaded the kernel module ${name}`;
}
