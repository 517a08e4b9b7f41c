import { readFileSync } from "node:fs";
import { constants } from "node:os";
import type { GuestExit } from "../spec/views.ts";
import { watchDirectory } from "./directory-changes.ts";
import { lastLines } from "./guest-log.ts";
import type { QemuLayout } from "./qemu-layout.ts";
import { withoutControls } from "./plain-words.ts";
import { findQemuProcess, qemuSupervisor } from "./qemu-process.ts";
import { readQemuExit } from "./qemu-supervisor.ts";
import { writeWhole } from "./write-whole.ts";

/**
 * How a guest ended that no longer runs: 0 when it powered itself off, 1 when its kernel gave up or QEMU did, 128 + n when a
 * signal ended QEMU; 255 when nobody is left who knows. Seen once, it is kept: the same answer after a reboot. Undefined when it
 * has not ended: it runs, or is being started.
 */
export async function qemuExitOf(layout: QemuLayout): Promise<GuestExit | undefined> {
  const known = recall(layout.ended);
  if (known !== undefined) return known;
  using changes = watchDirectory(layout.directory);
  const end = performance.now() + handOverMs;
  // With the shell goes the last copy of what QEMU had open, and the locks on its disks: whoever hears of the end may use them.
  while (qemuSupervisor(layout) !== undefined) {
    if (findQemuProcess(layout) !== undefined) return undefined;
    if (performance.now() > end) {
      if (readQemuExit(layout) === undefined) return undefined;
      break;
    }
    await changes.next(20);
  }
  const { code, at } = readQemuExit(layout) ?? { code: lostStatus, at: new Date().toISOString() };
  const signal = Object.entries(constants.signals).find(([, number]) => number === code - 128)?.[0];
  const exit: GuestExit = {
    code,
    ...(signal === undefined ? {} : { signal }),
    oomKilled: false,
    at,
    lastLines: [...consoleLines(layout.log, 50), ...(code === 0 ? [] : qemuWords(layout).map((line) => `qemu: ${line}`))],
  };
  keep(layout.ended, exit);
  return exit;
}

/** The last lines of a serial console as a person would have seen them, without the sequences that move a cursor. */
export function consoleLines(log: string, count: number): string[] {
  return lastLines(log, count).map((line) => withoutControls(line));
}

/** QEMU's own last words. */
export function qemuWords(layout: QemuLayout): string[] {
  const lines = lastLines(layout.said, 5).filter((line) => !virtiofsdsEnd.test(line));
  return lines.map((line) => withoutControls(line.replace(/^qemu-system-\w+: /, "")));
}

/** virtiofsd's word at the end of any QEMU. */
const virtiofsdsEnd = /^virtio_loop: Unexpected poll revents/;
const handOverMs = 5000;
const lostStatus = 255;

/** On a full disk a guest has ended all the same: it is found out anew each time. */
function keep(file: string, exit: GuestExit): void {
  try {
    writeWhole(file, JSON.stringify(exit));
  } catch (error) {
    if (!["ENOSPC", "EDQUOT"].includes((error as NodeJS.ErrnoException).code ?? "")) throw error;
  }
}

function recall(file: string): GuestExit | undefined {
  try {
    return JSON.parse(readFileSync(file, "utf8")) as GuestExit;
  } catch {
    return undefined;
  }
}
