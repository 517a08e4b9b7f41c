import { readFileSync, constants } from "node:fs";
import { isErrno } from "./errno.ts";
import { type Fd, openFile } from "./fd.ts";
import { checked, libc } from "./libc.ts";

/** ioctls and flags of linux/loop.h. */
const getFree = 0x4c82;
const configure = 0x4c0a;
const autoClear = 4;
/** Past the host's page cache, which would keep everything twice; where the file cannot be read so, the kernel does without. */
const directIo = 16;
/** struct loop_config: fd, block size, struct loop_info64 (flags at byte 52, name at 56), and a reserve. */
const configBytes = 304;
const infoAt = 8;
const nameBytes = 64;

/**
 * A block device that is a file (loop(4), LOOP_CONFIGURE of Linux 5.8). It goes by itself when nobody has it open or mounted.
 * @throws KernelError: ENOENT, EPERM or ENXIO where there are no loop devices
 */
export function attachLoopDevice(file: string): Disposable & { path: string } {
  using backing = openFile(file, constants.O_RDWR | constants.O_NOFOLLOW);
  using control = openFile("/dev/loop-control", constants.O_RDWR);
  for (let tries = 0; ; tries++) {
    const number = checked("find a free loop device", libc().ioctl(control.number, getFree, null));
    const path = `/dev/loop${number}`;
    using stack = new DisposableStack();
    const device = stack.use(openFile(path, constants.O_RDWR));
    try {
      checked(`attach ${file} to ${path}`, libc().ioctl(device.number, configure, configOf(backing, file)));
    } catch (error) {
      // Somebody else was quicker.
      if (isErrno(error, "EBUSY") && tries < mostTries) continue;
      throw error;
    }
    const kept = stack.move();
    return { path, [Symbol.dispose]: () => kept.dispose() };
  }
}

/** The file behind a device by its `major:minor`, as it was called when it was attached; undefined when it is no loop device. */
export function loopFileOf(device: string): string | undefined {
  try {
    return readFileSync(`/sys/dev/block/${device}/loop/backing_file`, "utf8").replace(/\n$/, "");
  } catch {
    return undefined;
  }
}

function configOf(backing: Fd, file: string): Uint8Array {
  const config = Buffer.alloc(configBytes);
  config.writeUInt32LE(backing.number, 0);
  config.writeUInt32LE(autoClear | directIo, infoAt + 52);
  Buffer.from(file).copy(config, infoAt + 56, 0, nameBytes - 1);
  return config;
}

const mostTries = 20;
