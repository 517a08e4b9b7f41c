import { closeSync, openSync } from "node:fs";
import type { IfName, Name } from "../base/names.ts";
import type { LifeDriver, Machine, RunningVm } from "./kinds.ts";
import { NexusError } from "../base/errors.ts";
import type { VmNic, VmPlan } from "../guests/qemu-plan.ts";
import type { QemuDriver } from "../guests/qemu.ts";
import { readProcessStat } from "../kernel/processes.ts";
import type { TapStock } from "../kernel/taps.ts";
import type { TapHolder } from "../plan/steps.ts";
import type { GuestRecord } from "../state/rows.ts";

/** The life of virtual machines: at the start the queues of its taps, which attaching has made, go over to QEMU. */
export function vmLife(driver: QemuDriver, taps: TapStock): LifeDriver<VmPlan, RunningVm> {
  return {
    prepare: (plan, progress) => driver.prepare(plan, progress),
    async start(plan) {
      try {
        return await driver.start({ ...plan, nics: plan.nics.map((nic) => withQueues(nic, taps)) });
      } finally {
        for (const { tap } of plan.nics) if (tap.kind === "link") taps.close(tap.name);
      }
    },
    observe: (plan) => driver.observe(plan),
    waitExit: (plan, signal) => driver.waitExit(plan, signal),
    stop: (plan, graceMs) => driver.stop(plan, graceMs),
    remove: (plan) => driver.remove(plan),
  };
}

/** The card with the queues of its tap, which was just made. */
export function withQueues(nic: VmNic, taps: TapStock): VmNic {
  const { name, kind } = nic.tap;
  if (kind === "queues") return nic;
  const fds = taps.numbers(name);
  if (fds === undefined) throw new NexusError("internal", `tap ${name} was not made`);
  return { ...nic, tap: { kind: "queues", name, fds } };
}

type HolderFacts = {
  pidOf: (name: Name) => number | undefined;
  queuesOf: (guest: Machine) => ReadonlyMap<string, readonly number[]>;
};

/** Who has the queues of which tap open: QEMU, under numbers of its own. One that has just ended holds nothing, though its end is not known yet. */
export function tapHoldersOf(guests: readonly GuestRecord[], { pidOf, queuesOf }: HolderFacts): Map<IfName, TapHolder> {
  const holders = new Map<IfName, TapHolder>();
  for (const guest of guests) {
    const pid = guest.kind === "vm" ? pidOf(guest.name) : undefined;
    if (guest.kind !== "vm" || pid === undefined || hasEnded(pid)) continue;
    const queues = queuesOf(guest);
    for (const { hostInterface } of guest.attachments) {
      const fds = queues.get(hostInterface) ?? [];
      if (fds.length > 0) holders.set(hostInterface, { pid, fds });
    }
  }
  return holders;
}

function hasEnded(pid: number): boolean {
  const state = readProcessStat(pid)?.state ?? "X";
  return state === "Z" || state === "X";
}

/** Whether the kernel can move a guest's packets itself (drivers/vhost/net.c). */
export function vhostWorks(device = "/dev/vhost-net"): boolean {
  try {
    closeSync(openSync(device, "r+"));
    return true;
  } catch {
    return false;
  }
}
