import { readFileSync } from "node:fs";
import type { QemuLayout } from "./qemu-layout.ts";
import type { Acceleration } from "./qemu-plan.ts";
import type { QemuUser } from "./qemu-user.ts";
import { writeWhole } from "./write-whole.ts";

/** What a guest was started with, and what it got since. */
export type Started = {
  accel: Acceleration;
  sshPort?: number;
  /** Numbers of the queues of its taps in QEMU, by the taps' names. */
  taps: Record<string, number[]>;
  /** Of one that an earlier daemon started it is not known: it is the daemon's. */
  user?: QemuUser;
};

export function readStarted(layout: QemuLayout): Started {
  try {
    return JSON.parse(readFileSync(layout.started, "utf8")) as Started;
  } catch {
    return { accel: { kind: "tcg", why: "what it was started with is not known" }, taps: {} };
  }
}

export function writeStarted(layout: QemuLayout, started: Started): void {
  writeWhole(layout.started, JSON.stringify(started));
}
