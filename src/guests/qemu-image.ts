import type { DiskFormat, ShareType } from "../spec/vm.ts";

/** What a virtual machine boots: a kernel of the host's choosing, a disk, or a kernel with a disk. */
export type VmImage = {
  reference: string;
  /** Changes when, and only when, the content does. */
  key: string;
  kernel?: { path: string; initrd?: string; cmdline: string };
  /** Shared and never written to: each guest has a layer of its own over it. */
  disk?: { path: string; format: DiskFormat };
  /** All its kernel knows for directories of the host; undefined when nobody can tell. */
  shareType?: ShareType;
};

/** Where the driver gets images; the daemon supplies the store. */
export type VmImageSource = {
  /** @throws NexusError `image-missing` saying what was tried */
  resolve(reference: string, progress: (line: string) => void): Promise<VmImage>;
  /** Marks the image as used by a guest, so that it is not removed below its feet. Repeatable. */
  hold(image: Pick<VmImage, "key">, guestId: string): void;
  release(guestId: string): void;
};
