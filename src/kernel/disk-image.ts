import * as fs from "node:fs";
import { NexusError } from "../base/errors.ts";
import { allocate } from "../sys/allocate.ts";
import { isErrno } from "../sys/errno.ts";
import { openFile } from "../sys/fd.ts";
import { attachLoopDevice, loopFileOf } from "../sys/loop-device.ts";
import { listMounts, mount } from "./mounts.ts";

/** Makes a file of zeros whose room on the disk is taken already. @throws NexusError `too-large` when it does not fit; KernelError */
export function makeImageFile(path: string, bytes: number): void {
  using file = openFile(path, fs.constants.O_RDWR | fs.constants.O_CREAT | fs.constants.O_EXCL, 0o600);
  try {
    allocate(file, bytes);
  } catch (error) {
    fs.rmSync(path, { force: true });
    if (!isErrno(error, "ENOSPC", "EFBIG")) throw error;
    throw new NexusError("too-large", `there is no room for ${bytes} bytes at ${path}`, {
      hint: "give it a smaller --size, or free some of the disk",
      cause: error,
    });
  }
}

/** Mounts an ext4 image: no device and no set-user-id in it counts. One that is mounted there already is left. @throws NexusError; KernelError */
export function mountImage(image: string, target: string): void {
  if (isImageMounted(image, target)) return;
  using device = loopDevice(image);
  mount({ source: device.path, target, type: "ext4", flags: ["noSuid", "noDev"], data: "errors=remount-ro,noinit_itable" });
}

/** Whether this image, and no other thing, is what is mounted last at a path. @throws NexusError `in-use` when it is another */
export function isImageMounted(image: string, target: string): boolean {
  const found = listMounts().findLast((entry) => entry.target === target);
  if (found === undefined) return false;
  if (loopFileOf(found.device) === image) return true;
  throw new NexusError("in-use", `something that is not ours is mounted at ${target}`, { hint: `unmount it: umount ${target}` });
}

function loopDevice(image: string): ReturnType<typeof attachLoopDevice> {
  try {
    return attachLoopDevice(image);
  } catch (error) {
    if (!isErrno(error, "ENOENT", "ENXIO", "ENODEV", "EPERM", "EACCES", "EINVAL", "ENOTTY")) throw error;
    throw new NexusError("unsupported", `a file cannot be used as a disk here: ${error.message}`, {
      hint: "facilities need loop devices (modprobe loop; in a container: /dev/loop-control and CAP_SYS_ADMIN)",
      cause: error,
    });
  }
}
