import { readdirSync, readFileSync, statSync } from "node:fs";
import { adoptProcess, type Pidfd, readProcessStat } from "../kernel/processes.ts";
import { comma } from "./qemu-devices.ts";
import type { QemuLayout } from "./qemu-layout.ts";

/** A guest's QEMU as the host sees it. */
export type QemuProcess = { pid: number; startTicks: bigint; startedAt: string };

/**
 * The guest's QEMU while it lives. The number in the file proves nothing, it may be in use again: the process must also have been
 * started with this guest's log, or by an earlier daemon with that file, among its words.
 */
export function findQemuProcess(layout: QemuLayout): QemuProcess | undefined {
  const pid = numberIn(layout.pidFile);
  if (pid === undefined) return undefined;
  const stat = readProcessStat(pid);
  if (stat === undefined || stat.state === "Z" || stat.state === "X" || !isOf(layout, argumentsOf(pid))) return undefined;
  return { pid, startTicks: stat.startTicks, startedAt: statSync(layout.pidFile).mtime.toISOString() };
}

function isOf({ pidFile, log }: QemuLayout, words: readonly string[]): boolean {
  return words.some((word) => word === pidFile || word.endsWith(`,opaque=${comma(log)}`));
}

/** A descriptor of it, or undefined when it ended meanwhile. */
export function openQemuProcess(layout: QemuLayout): Pidfd | undefined {
  const found = findQemuProcess(layout);
  return found === undefined ? undefined : adoptProcess(found.pid, found.startTicks);
}

/** The supervising shell while it lives, known by its directory among its words. */
export function qemuSupervisor(layout: QemuLayout): number | undefined {
  const pid = numberIn(layout.supervisor);
  return pid !== undefined && argumentsOf(pid).includes(layout.directory) ? pid : undefined;
}

/** Numbers under which a process has queues of a tap open (drivers/net/tun.c tun_chr_show_fdinfo), in order. */
export function tapQueuesIn(pid: number | undefined, tap: string): number[] {
  try {
    const directory = `/proc/${pid}/fdinfo`;
    const queues = readdirSync(directory).filter((fd) => readFileSync(`${directory}/${fd}`, "utf8").includes(`iff:\t${tap}\n`));
    return queues.map(Number).toSorted((a, b) => a - b);
  } catch {
    return [];
  }
}

function numberIn(file: string): number | undefined {
  try {
    const text = readFileSync(file, "utf8").trim();
    return /^[1-9]\d{0,9}$/.test(text) && Number(text) > 1 ? Number(text) : undefined;
  } catch {
    return undefined;
  }
}

function argumentsOf(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
  } catch {
    return [];
  }
}
