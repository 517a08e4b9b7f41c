import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import { NexusError } from "../base/errors.ts";
import { compileFilter } from "./seccomp-bpf.ts";
import { sandboxPolicy } from "./seccomp-sandbox.ts";

/** @throws NexusError `runtime-missing` */
export function findProgram(): string {
  for (const directory of (process.env["PATH"] ?? "/usr/bin").split(delimiter)) {
    const path = join(directory, "bwrap");
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // Not there.
    }
  }
  throw new NexusError("runtime-missing", "bubblewrap is not installed", { hint: "apt-get install bubblewrap" });
}

/** @throws NexusError `unsupported`: without a filter nothing untrusted runs */
export function hostFilter(): Uint8Array {
  const { arch } = process;
  if (arch === "x64" || arch === "arm64") return compileFilter(sandboxPolicy(), arch);
  throw new NexusError("unsupported", `system calls of ${arch} cannot be filtered`, { hint: "run untrusted commands on x86-64 or arm64" });
}
