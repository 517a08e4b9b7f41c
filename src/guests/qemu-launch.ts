import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { NexusError } from "../base/errors.ts";
import { endProcess } from "../kernel/processes.ts";
import { watchDirectory } from "./directory-changes.ts";
import { consoleLines, qemuWords } from "./qemu-exit.ts";
import { letRun } from "./qemu-held.ts";
import type { Inherited } from "./qemu-inherited.ts";
import { type QemuLayout, socketNames } from "./qemu-layout.ts";
import { refusedForward } from "./qemu-ports.ts";
import { openQemuProcess, qemuSupervisor } from "./qemu-process.ts";
import type { QemuUser } from "./qemu-user.ts";
import { type ConsoleLogLimits, readQemuExit, superviseQemu } from "./qemu-supervisor.ts";
import { Qmp } from "./qmp.ts";
import { endVirtiofsds } from "./virtiofsd.ts";

/** Forgets the run before: its exit, its sockets, its number. */
export function clearRun(layout: QemuLayout): void {
  for (const file of [layout.exit, layout.ended, layout.killed, layout.pidFile, layout.supervisor]) rmSync(file, { force: true });
  for (const name of Object.values(socketNames)) rmSync(join(layout.directory, name), { force: true });
}

/**
 * Starts QEMU and waits until its monitor says that the processors run. "ended" when the guest was that brief.
 * @throws NexusError `runtime-failed`, `port-taken` with the port in `details.port`, `image-missing`, `timeout`; nothing is left running then
 */
export async function launchQemu(
  layout: QemuLayout,
  command: readonly string[],
  options: {
    inherited: Inherited;
    user: QemuUser;
    log: ConsoleLogLimits;
    deadlineMs: number;
    /** Starts what runs beside it, once its log is open. */
    beside?: () => void;
  },
): Promise<"running" | "ended"> {
  clearRun(layout);
  using changes = watchDirectory(layout.directory);
  {
    using open = options.inherited.open({ directory: layout.directory, user: options.user });
    superviseQemu(layout, command, { fds: open.descriptors, log: options.log });
  }
  try {
    options.beside?.();
    const end = performance.now() + options.deadlineMs;
    for (;;) {
      const exit = readQemuExit(layout);
      if (exit !== undefined) {
        if (exit.code === 0) return "ended";
        throw refusal(layout, exit.code);
      }
      const left = end - performance.now();
      if (left <= 0) throw late(layout, options.deadlineMs);
      if (await isUp(layout, left)) return "running";
      await changes.next(existsSync(join(layout.directory, socketNames.monitor)) ? 5 : 100);
    }
  } catch (error) {
    await endQemu(layout);
    throw error;
  }
}

/** Ends whatever is left of a run, and its supervisor; repeatable. */
export async function endQemu(layout: QemuLayout): Promise<void> {
  using qemu = openQemuProcess(layout);
  if (qemu !== undefined) await endProcess(qemu, { graceMs: 2000, signal: sigkill });
  // They end with their connections, unless a guest has led one astray.
  await endVirtiofsds(layout.shares);
  const supervisor = qemuSupervisor(layout);
  if (supervisor === undefined) return;
  // It has a moment to write the status down; one that still waits for a QEMU we do not know takes that along.
  using changes = watchDirectory(layout.directory);
  const end = performance.now() + 1000;
  while (qemuSupervisor(layout) !== undefined && readQemuExit(layout) === undefined && performance.now() < end) await changes.next(20);
  if (qemuSupervisor(layout) === supervisor && readQemuExit(layout) === undefined) killSession(supervisor);
}

const sigkill = 9;

async function isUp(layout: QemuLayout, leftMs: number): Promise<boolean> {
  if (!existsSync(join(layout.directory, socketNames.monitor))) return false;
  try {
    using qmp = await Qmp.connect(layout.directory, socketNames.monitor, { timeoutMs: Math.max(100, Math.ceil(leftMs)) });
    return (await letRun(qmp)) === "running";
  } catch (error) {
    // Silent to the end, or gone already: the exit status or the deadline tells which.
    if (error instanceof NexusError && (error.code === "wrong-state" || error.code === "timeout")) return false;
    throw error;
  }
}

function refusal(layout: QemuLayout, code: number): NexusError {
  const words = qemuWords(layout).join("; ");
  const said = words === "" ? consoleLines(layout.log, 5).join("; ") || "it said nothing" : words;
  const port = refusedForward(words);
  if (port !== undefined) return new NexusError("port-taken", `host port ${port} is in use`, { details: { port, said } });
  return new NexusError("runtime-failed", `QEMU ended at once with status ${code}: ${said}`, { details: { said } });
}

function late(layout: QemuLayout, deadlineMs: number): NexusError {
  return new NexusError("timeout", `the virtual machine was not up within ${deadlineMs} ms`, { details: { said: qemuWords(layout) } });
}

function killSession(pid: number): void {
  try {
    process.kill(-pid, "SIGKILL");
  } catch {
    // Gone already.
  }
}
