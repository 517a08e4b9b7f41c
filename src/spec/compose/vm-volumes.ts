import { basename } from "node:path/posix";
import { ownDisks } from "../own-disks.ts";
import type { VmDisk, VmShare } from "../vm.ts";
import type { VmMount } from "../vm-setup.ts";
import type { GuestPart, Surroundings } from "./build-guest.ts";
import { wantedVolume } from "./build-volumes.ts";
import { type Context, hostPath, partFault, partPlace, present } from "./context.ts";
import { uniqueName } from "./names.ts";
import type { VolumeWish } from "./volume-schema.ts";

type Given = { disks: VmDisk[]; shares: VmShare[]; mounts: VmMount[] };

/** A virtual machine's volumes: named ones and devices as disks, directories as shares, and where the guest mounts them. */
export function vmVolumes(
  context: Context,
  part: GuestPart,
  { wishes, around }: { wishes: readonly VolumeWish[]; around: Surroundings },
): Given {
  const given: Given = { disks: [], shares: [], mounts: [] };
  // A volume that is called as one of these is root-2 in the guest.
  const disks = new Set(ownDisks);
  const shares = new Set<string>();
  const targets = new Set<string>();
  for (const [i, wish] of wishes.entries()) {
    if (wish.type === "tmpfs") {
      const hint = "write a line of provision that mounts it";
      partFault(context, part, { at: ["volumes", i], problem: "only a node's volume can be a tmpfs", hint });
      continue;
    }
    const { target, readOnly } = wish;
    const isTaken = target !== undefined && targets.has(target);
    if (isTaken) partFault(context, part, { at: ["volumes", i], problem: `another volume is at ${target} already` });
    targets.add(target ?? "");
    const path = hostPath(context, wish.source, partPlace(part, ["volumes", i]).source);
    const mount = (from: VmMount["from"]): void => {
      if (target !== undefined && !isTaken && wish.automount)
        given.mounts.push({ from, target, readOnly, ...present({ options: wish.mountOptions }) });
    };
    switch (wish.type) {
      case "volume": {
        const volume = wantedVolume(context, part, { wish, i, around })?.volume;
        if (volume === undefined) break;
        const name = uniqueName(wish.source, { length: 20, taken: disks });
        disks.add(name);
        given.disks.push({
          name: name as VmDisk["name"],
          source: volume.name,
          format: "qcow2",
          readOnly,
          ...(volume.external ? {} : { size: volume.sizeBytes }),
        });
        mount({ disk: name });
        break;
      }
      case "disk": {
        const name = uniqueName(basename(path), { length: 20, taken: disks });
        disks.add(name);
        given.disks.push({ name: name as VmDisk["name"], source: path, format: wish.format, readOnly });
        mount({ disk: name });
        break;
      }
      case "bind": {
        const name = uniqueName(target ?? "", { length: 31, taken: shares });
        shares.add(name);
        given.shares.push({ name: name as VmShare["name"], source: path, readOnly });
        mount({ share: name });
      }
    }
  }
  return given;
}
