import type { VmPlan } from "../guests/qemu-plan.ts";
import type { QemuDriver } from "../guests/qemu.ts";
import type { TapStock } from "../kernel/taps.ts";
import type { Machine } from "./kinds.ts";
import type { NetworkEngine } from "./network-access.ts";
import { withQueues } from "./vm-life.ts";

export type DeviceFacts = {
  driver: QemuDriver;
  taps: TapStock;
  wiring: Pick<NetworkEngine, "makeLinks">;
  planOf: (guest: Machine) => VmPlan;
};

/**
 * Gives a machine that runs the cards and further disks it is to have, and takes those it is not: after a change, and after a daemon was
 * killed in the middle of one. The guest has to let go of what is taken. @throws NexusError timeout, unsupported, wrong-state, image-missing
 */
export async function matchDevices(guest: Machine, { driver, taps, wiring, planOf }: DeviceFacts): Promise<void> {
  const plan = planOf(guest);
  const has = await driver.devices(plan);
  for (const name of has.disks) if (!plan.spec.disks.some((disk) => disk.name === name)) await driver.removeDisk(plan, name);
  for (const disk of plan.spec.disks) if (!has.disks.includes(disk.name)) await driver.addDisk(plan, disk);
  // Its card in user mode is no network's.
  if (plan.nics.length === 0) return;
  for (const number of has.nics) if (!plan.nics.some((nic) => nic.number === number)) await driver.removeNic(plan, number);
  const lacking = plan.nics.filter((nic) => !has.nics.includes(nic.number));
  if (lacking.length === 0) return;
  try {
    const numbers = lacking.map((nic) => nic.number);
    wiring.makeLinks(guest, numbers);
    for (const nic of lacking) await driver.addNic(plan, withQueues(nic, taps));
  } finally {
    // Without a card that took its queues the tap goes.
    for (const { tap } of lacking) taps.close(tap.name);
  }
}
