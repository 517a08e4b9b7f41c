import { chownSync, closeSync, constants, copyFileSync, fstatSync, openSync, rmSync } from "node:fs";
import { join } from "node:path";
import { NexusError } from "../base/errors.ts";
import { listenIn } from "../kernel/unix-socket.ts";
import { comma } from "./qemu-devices.ts";
import type { QemuUser } from "./qemu-user.ts";

/** Inherited descriptors come after the three standard ones. */
export const firstInherited = 3;

export type Access = "read" | "write" | "append";

/** Something QEMU gets open. `reopened`: it opens it anew by its number, so it must be its user's to read. */
type Item =
  | { kind: "descriptor"; number: number }
  | { kind: "file"; path: string; access: Access; reopened?: boolean }
  | { kind: "listener"; name: string };

/**
 * What QEMU gets open, so that it opens nothing of a guest by name and its user needs no right to anything. It is told first, as
 * QEMU's words name the numbers, and opened when QEMU is started.
 */
export class Inherited {
  readonly #items: Item[];
  /** What QEMU must be told of them. */
  readonly words: string[] = [];

  constructor(descriptors: readonly number[] = []) {
    this.#items = descriptors.map((number) => ({ kind: "descriptor", number }));
  }

  /** The number QEMU knows it by. */
  number(item: Item): number {
    return firstInherited + this.#items.push(item) - 1;
  }

  /** A name for what QEMU opens by its own function for that (util/osdep.c qemu_open): it gets a copy of the descriptor. */
  file(path: string, access: Access): string {
    const number = this.number({ kind: "file", path, access });
    this.words.push("-add-fd", `fd=${number},set=${number},opaque=${comma(path)}`);
    return `/dev/fdset/${number}`;
  }

  /** A name for what QEMU opens like any program. */
  read(path: string): string {
    return `/proc/self/fd/${this.number({ kind: "file", path, access: "read", reopened: true })}`;
  }

  /** Opens all, in their order. The caller disposes. @throws NexusError; KernelError */
  open(place: { directory: string; user: QemuUser }): Disposable & { descriptors: readonly number[] } {
    using stack = new DisposableStack();
    const keep = (number: number): number => stack.adopt(number, closeSync);
    const descriptors = this.#items.map((item) => {
      switch (item.kind) {
        case "descriptor":
          return item.number;
        case "file":
          return keep(item.reopened === true ? openReadable(item.path, place) : openFor(item.path, item.access));
        case "listener":
          return stack.use(listenIn(place.directory, item.name)).number;
      }
    });
    const open = stack.move();
    return { descriptors, [Symbol.dispose]: () => open.dispose() };
  }
}

const { O_RDONLY, O_RDWR, O_WRONLY, O_APPEND, O_CREAT, O_NOFOLLOW, O_NONBLOCK } = constants;
/** Nobody waits for the other end of a pipe that lies where a file should. */
const flags = { read: O_RDONLY | O_NONBLOCK, write: O_RDWR | O_NONBLOCK, append: O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW };

/** @throws NexusError `image-missing` */
export function openFor(path: string, access: Access): number {
  try {
    return openSync(path, flags[access], 0o600);
  } catch (error) {
    throw new NexusError("image-missing", `cannot open ${path}: ${(error as Error).message}`, { cause: error });
  }
}

/** A file that is not everybody's to read is read from a copy that is the user's, and has no name. */
function openReadable(path: string, { directory, user }: { directory: string; user: QemuUser }): number {
  const number = openFor(path, "read");
  if (user.kind === "daemon" || (fstatSync(number).mode & 0o004) !== 0) return number;
  closeSync(number);
  const copy = join(directory, "copy");
  try {
    copyFileSync(path, copy, constants.COPYFILE_FICLONE);
    chownSync(copy, user.uid, user.uid);
    return openSync(copy, O_RDONLY);
  } finally {
    rmSync(copy, { force: true });
  }
}
