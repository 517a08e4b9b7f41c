import { createHash } from "node:crypto";
import { realpathSync, statSync } from "node:fs";
import { NexusError } from "../base/errors.ts";
import type { DiskFormat, ShareType } from "../spec/vm.ts";
import { examineDiskFile } from "./disk-file.ts";
import type { StoredDisk } from "./vm-disks.ts";
import type { MiniVm } from "./vm-mini.ts";

/** What a virtual machine boots. */
export type StoredVmImage = {
  reference: string;
  key: string;
  kernel?: { path: string; initrd?: string; cmdline: string };
  /** Shared and never written to. */
  disk?: { path: string; format: DiskFormat };
  /** All its kernel knows for directories of the host; undefined when nobody can tell. */
  shareType?: ShareType;
};

export type VmImageView = {
  reference: string;
  /** What guests hold: `sha256:…` of what was fetched, `mini-vm:…` for what was built. */
  key: string;
  format: DiskFormat | "kernel";
  /** On this host's disk. */
  bytes: number;
  /** Of the disk the guest sees; absent for a kernel. */
  virtualBytes?: number;
  pulledAt: string;
  /** Ids of the guests that use it. */
  usedBy: string[];
};

export function diskImage(reference: string, disk: StoredDisk): StoredVmImage {
  return { reference, key: disk.key, disk: { path: disk.path, format: disk.format } };
}

/**
 * A disk file of the host, used where it is. Its key is made of device, inode, size and time of change: hashing gigabytes before
 * every start would be worse than not to see who sets the time back.
 * @throws NexusError `image-missing`, `runtime-missing`; KernelError; the signal's reason
 */
export async function localImage(path: string, options: { imageTool: string; signal: AbortSignal }): Promise<StoredVmImage> {
  const { format, stat } = await examineDiskFile(path, options);
  const facts = [stat.dev, stat.ino, stat.size, stat.mtimeNs].join(" ");
  const key = `file:${createHash("sha256").update(facts).digest("hex").slice(0, 32)}`;
  // A link that is turned later must not change what lies below a guest.
  return { reference: path, key, disk: { path: realpath(path), format } };
}

export function miniView(mini: MiniVm, usedBy: string[]): VmImageView {
  const [kernel, initrd] = [statSync(mini.kernel.path), statSync(mini.kernel.initrd)];
  return {
    reference: "mini",
    key: mini.key,
    format: "kernel",
    bytes: kernel.size + initrd.size,
    pulledAt: initrd.mtime.toISOString(),
    usedBy,
  };
}

function realpath(path: string): string {
  try {
    return realpathSync(path);
  } catch (error) {
    throw new NexusError("image-missing", `the disk image ${path} went away`, { cause: error });
  }
}
