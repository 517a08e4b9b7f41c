import type { VmPlan } from "./qemu-plan.ts";

/** How a device is called that goes on this machine's bus. */
export function deviceOf(plan: VmPlan, kind: string): string {
  return `${kind}-${plan.spec.machine === "microvm" ? "device" : "pci"}`;
}

/** Spare slots for cards and disks that are added later; a PCI Express machine takes none on its root. */
export const spareSlots = 4;

/**
 * The ports of a PCI Express machine: one below each device that may go while the guest runs, and spare ones. What sits on the
 * machine's root stays there. Eight to a slot, from one that is behind all that QEMU numbers by itself.
 */
export function portArguments(plan: VmPlan, removable: readonly string[]): string[] {
  if (plan.spec.machine === "microvm") return [];
  return [...removable.map(portOf), ...Array.from({ length: spareSlots }, (_, i) => `slot${i}`)].flatMap((id, i) => [
    "-device",
    `pcie-root-port,id=${id},chassis=${i + 1},slot=${i + 1},multifunction=on,addr=${(firstPortSlot + (i >> 3)).toString(16)}.${i & 7}`,
  ]);
}

/** Where a device goes that may leave again. */
export function onPort(plan: VmPlan, id: string): string {
  return plan.spec.machine === "microvm" ? "" : `,bus=${portOf(id)}`;
}

function portOf(id: string): string {
  return `for-${id}`;
}

const firstPortSlot = 0x18;

/** QEMU splits option values at commas; two stand for one. */
export function comma(value: string): string {
  return value.replaceAll(",", ",,");
}
