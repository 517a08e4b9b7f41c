import type { DiskFormat } from "../spec/vm.ts";
import { deviceOf, comma } from "./qemu-devices.ts";
import type { VmPlan } from "./qemu-plan.ts";

/** A disk as QEMU gets it. The guest knows it by `name`, its serial number. */
export type QemuDisk = { name: string; path: string; format: DiskFormat; readOnly: boolean };

/** `boots`: the first disk is what the firmware boots, no kernel being given beside it. */
export function diskArguments(plan: VmPlan, disks: readonly QemuDisk[], { boots }: { boots: boolean }): string[] {
  return disks.flatMap((disk, i) => [
    "-blockdev",
    JSON.stringify(blockNode(disk)),
    "-device",
    `${deviceOf(plan, "virtio-blk")},drive=disk-${disk.name},id=blk-${disk.name},serial=${comma(disk.name)}${boots && i === 0 ? ",bootindex=0" : ""}`,
  ]);
}

/** BlockdevOptions (qapi/block-core.json): the format over the file. The file's lock keeps two guests from one disk. */
export function blockNode(disk: QemuDisk): Record<string, unknown> {
  return {
    driver: disk.format,
    "node-name": `disk-${disk.name}`,
    "read-only": disk.readOnly,
    ...(disk.readOnly ? {} : { discard: "unmap" }),
    file: {
      driver: disk.path.startsWith("/dev/") ? "host_device" : "file",
      filename: disk.path,
      ...(disk.readOnly ? {} : { discard: "unmap" }),
    },
  };
}
