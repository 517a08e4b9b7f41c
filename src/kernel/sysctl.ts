import * as fs from "node:fs";
import { NexusError } from "../base/errors.ts";
import { asKernel, isErrno } from "../sys/errno.ts";
import type { Fd } from "../sys/fd.ts";
import { inNetns } from "../sys/netns.ts";

/** A setting by its path below /proc/sys, one component each: an interface name may hold dots. */
export type SysctlPath = readonly [string, ...string[]];

export type SysctlOptions = {
  /** For settings below `net`: the namespace meant, the caller's when absent. */
  netns?: Fd | number;
};

/** The value without its last newline, or undefined when this kernel has no such setting (or the interface is gone). @throws KernelError */
export function readSysctl(path: SysctlPath, options: SysctlOptions = {}): string | undefined {
  const file = fileOf(path);
  try {
    return within(options, () => read(file));
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}

/** Sets a value and gives the one before; nothing is written when it is the same. @throws KernelError */
export function writeSysctl(path: SysctlPath, value: string | number, options: SysctlOptions = {}): string {
  const file = fileOf(path);
  return within(options, () => {
    const before = read(file);
    if (before !== String(value)) asKernel(`set ${path.join("/")} to ${value}`, () => fs.writeFileSync(file, `${value}\n`));
    return before;
  });
}

function read(file: string): string {
  return asKernel(`read ${file}`, () => fs.readFileSync(file, "latin1")).trimEnd();
}

function within(options: SysctlOptions, fn: () => string): string {
  return options.netns === undefined ? fn() : inNetns(options.netns, fn);
}

/** /proc/sys/net shows the namespace of whoever opens it (proc_sysctl.c goes by the current task), so no remount is wanted. */
function fileOf(path: SysctlPath): string {
  for (const part of path) {
    if (part === "" || part === "." || part === ".." || part.includes("/") || part.includes("\0")) {
      throw new NexusError("usage", `"${part}" cannot be part of a kernel setting's path`);
    }
  }
  return `/proc/sys/${path.join("/")}`;
}
