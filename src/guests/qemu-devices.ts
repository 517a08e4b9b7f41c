import type { VmPlan } from "./qemu-plan.ts";

/** How a device is called that goes on this machine's bus. */
export function deviceOf(plan: VmPlan, kind: string): string {
  return `${kind}-${plan.spec.machine === "microvm" ? "device" : "pci"}`;
}

/** QEMU splits option values at commas; two stand for one. */
export function comma(value: string): string {
  return value.replaceAll(",", ",,");
}
