import type { DiskFormat } from "../spec/vm.ts";
import { comma, deviceOf, onPort } from "./qemu-devices.ts";
import type { VmPlan } from "./qemu-plan.ts";

/** A disk as QEMU gets it. The guest knows it by `name`, its serial number. */
export type QemuDisk = {
  name: string;
  path: string;
  format: DiskFormat;
  readOnly: boolean;
  /** What a layer of our own lies on; every other disk lies on nothing, whatever its header says by the time QEMU reads it. */
  base?: { path: string; format: DiskFormat };
};

/** `boots`: the first disk is what the firmware boots, no kernel being given beside it. */
export function diskArguments(plan: VmPlan, disks: readonly QemuDisk[], { boots }: { boots: boolean }): string[] {
  return disks.flatMap((disk, i) => [
    "-blockdev",
    JSON.stringify(blockNode(disk)),
    "-device",
    `${deviceOf(plan, "virtio-blk")},drive=disk-${disk.name},id=blk-${disk.name},serial=${comma(disk.name)}${boots && i === 0 ? ",bootindex=0" : ""}${ownDisks.includes(disk.name) ? "" : onPort(plan, `blk-${disk.name}`)}`,
  ]);
}

/** Disks that nobody asked for by name: they stay. */
export const ownDisks: readonly string[] = ["root", "cidata"];

/**
 * BlockdevOptions (qapi/block-core.json): the format over the file, and where the chain of layers ends. The file's lock keeps two guests
 * from one disk.
 */
export function blockNode(disk: QemuDisk): Record<string, unknown> {
  const options = { "read-only": disk.readOnly, ...(disk.readOnly ? {} : { discard: "unmap" }) };
  const below = disk.base === undefined ? null : layer(disk.base, { options: { "read-only": true }, below: null });
  return { "node-name": `disk-${disk.name}`, ...layer(disk, { options, below }) };
}

function layer(
  { path, format }: { path: string; format: DiskFormat },
  { options, below }: { options: Record<string, unknown>; below: Record<string, unknown> | null },
): Record<string, unknown> {
  return {
    driver: format,
    ...options,
    ...(format === "qcow2" ? { backing: below } : {}),
    file: { driver: path.startsWith("/dev/") ? "host_device" : "file", filename: path, ...options },
  };
}
