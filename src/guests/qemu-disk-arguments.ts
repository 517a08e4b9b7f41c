import type { DiskFormat } from "../spec/vm.ts";
import type { Access, Inherited } from "./qemu-inherited.ts";
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
export function diskArguments(
  plan: VmPlan,
  disks: readonly QemuDisk[],
  { boots, inherited }: { boots: boolean; inherited: Inherited },
): string[] {
  return disks.flatMap((disk, i) => [
    "-blockdev",
    JSON.stringify(blockNode(disk, (path, access) => inherited.file(path, access))),
    "-device",
    `${deviceOf(plan, "virtio-blk")},drive=disk-${disk.name},id=blk-${disk.name},serial=${comma(disk.name)}${boots && i === 0 ? ",bootindex=0" : ""}${ownDisks.includes(disk.name) ? "" : onPort(plan, `blk-${disk.name}`)}`,
  ]);
}

/** Disks that nobody asked for by name: they stay. */
export const ownDisks: readonly string[] = ["root", "cidata"];

/**
 * BlockdevOptions (qapi/block-core.json): the format over the file, and where the chain of layers ends. The file's lock keeps two guests
 * from one disk. `nameOf` gives the names by which QEMU is to open files.
 */
export function blockNode(disk: QemuDisk, nameOf: (path: string, access: Access) => string): Record<string, unknown> {
  const layer = layerBy(nameOf);
  const options = { "read-only": disk.readOnly, ...(disk.readOnly ? {} : { discard: "unmap" }) };
  const below = disk.base === undefined ? null : layer(disk.base, { options: { "read-only": true }, below: null });
  return { "node-name": `disk-${disk.name}`, ...layer(disk, { options, below }) };
}

function layerBy(nameOf: (path: string, access: Access) => string) {
  return (
    { path, format }: { path: string; format: DiskFormat },
    { options, below }: { options: { "read-only": boolean }; below: Record<string, unknown> | null },
  ): Record<string, unknown> => ({
    driver: format,
    ...options,
    ...(format === "qcow2" ? { backing: below } : {}),
    file: {
      driver: path.startsWith("/dev/") ? "host_device" : "file",
      filename: nameOf(path, options["read-only"] ? "read" : "write"),
      ...options,
    },
  });
}
