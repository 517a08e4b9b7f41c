import * as fs from "node:fs";
import { NexusError } from "../base/errors.ts";
import { linkText } from "../sys/directory-entries.ts";
import { isErrno } from "../sys/errno.ts";
import { type Fd, openFile } from "../sys/fd.ts";
import { openat2, pathOnly, resolve } from "../sys/openat2.ts";
import { namespaceId, sameNamespace } from "./namespaces.ts";
import type { Pidfd } from "./processes.ts";
import { refusalOf } from "./rooted-errors.ts";

/** A file that is held but not opened, and what it is. */
export type Held = Disposable & { fd: Fd; stats: fs.Stats };

/** Where a name stands: the directory, held, and the last component. */
export type Spot = Disposable & { directory: Fd; name: Buffer };

/**
 * The files a process sees, or a directory it writes into, from outside. The process is not trusted: whatever links, mounts and moving directories it has, every
 * path ends below its root, because the kernel itself walks it there (openat2(2), Linux 5.6). Nothing is opened before it is
 * known to be a plain file or a directory, so no device, pipe or socket is ever touched.
 */
export class Rooted implements Disposable {
  /** What the files belong to, for messages. */
  readonly owner: string;
  /** Whose files are that are made; undefined: ours. */
  readonly newOwner: { uid: number; gid: number } | undefined;
  readonly #root: Fd;

  /** @throws NexusError `wrong-state` when the process has ended, `not-permitted` when it sees the files we see; KernelError */
  static open(process: Pidfd, owner: string): Rooted {
    using stack = new DisposableStack();
    const ended = new NexusError("wrong-state", `${owner} has just ended`);
    try {
      const root = stack.use(openFile(`/proc/${process.pid}/root`, pathOnly | fs.constants.O_DIRECTORY));
      const shared = sameNamespace(namespaceId(`/proc/${process.pid}/ns/mnt`), namespaceId("/proc/self/ns/mnt"));
      // Only a process that lives after its root was opened is surely the one it was opened of.
      if (process.hasExited()) throw ended;
      if (shared) throw new NexusError("not-permitted", `${owner} has no file tree of its own`);
      stack.move();
      return new Rooted(root, owner);
    } catch (error) {
      throw isErrno(error, "ENOENT", "ESRCH") ? ended : error;
    }
  }

  /** A directory that others write into as its own root: links in it lead no further. What is made anew belongs to `newOwner`. @throws KernelError */
  static openDirectory(path: string, owner: string, newOwner: { uid: number; gid: number }): Rooted {
    const { O_DIRECTORY, O_NOFOLLOW } = fs.constants;
    return new Rooted(openFile(path, pathOnly | O_DIRECTORY | O_NOFOLLOW), owner, newOwner);
  }

  private constructor(root: Fd, owner: string, newOwner?: { uid: number; gid: number }) {
    this.#root = root;
    this.owner = owner;
    this.newOwner = newOwner;
  }

  /** What is at a path, with links followed inside. @throws NexusError `not-found`, `not-permitted`, `wrong-state` */
  hold(path: Buffer): Held {
    return this.#told(path, () => held(openat2(this.#root, path, { flags: pathOnly, walk: inside })));
  }

  /** The directory a path's last component stands in. @throws NexusError `usage` for the root itself and for `.` and `..` */
  spot(path: Buffer): Spot {
    const { directory, name } = splitPath(path);
    if (name.length === 0 || isDots(name))
      throw new NexusError("usage", `${path.toString()} names no file that could be made, changed or removed`);
    const fd = this.#told(directory, () => openat2(this.#root, directory, { flags: pathOnly | fs.constants.O_DIRECTORY, walk: inside }));
    return { directory: fd, name, [Symbol.dispose]: () => fd[Symbol.dispose]() };
  }

  /** As spot, at the end of all links: where the file itself stands, or would if it is absent. */
  settledSpot(path: Buffer): Spot {
    let at = path;
    for (let links = 0; links <= mostLinks; links++) {
      const spot = this.spot(at);
      using found = this.at(spot, at);
      if (found?.stats.isSymbolicLink() !== true) return spot;
      using _ = spot;
      refuseKernelFiles(found, this.owner, at);
      const text = linkText(found.fd);
      at = text[0] === slash ? text : Buffer.concat([splitPath(at).directory, Buffer.from("/"), text]);
    }
    throw new NexusError("wrong-state", `${this.owner}: ${path.toString()} leads through more than ${mostLinks} links`);
  }

  /** What has a name, itself though it be a link; undefined when nothing has. */
  at(spot: Pick<Spot, "directory" | "name">, path: Buffer): Held | undefined {
    try {
      return held(openat2(spot.directory, spot.name, { flags: pathOnly | fs.constants.O_NOFOLLOW, walk: resolve.noMagicLinks }));
    } catch (error) {
      if (isErrno(error, "ENOENT")) return undefined;
      throw refusalOf(error, this.owner, path);
    }
  }

  /** Runs an operation and words its failure by the path it is about. */
  #told<T>(path: Buffer, work: () => T): T {
    try {
      return work();
    } catch (error) {
      throw refusalOf(error, this.owner, path);
    }
  }

  [Symbol.dispose](): void {
    this.#root[Symbol.dispose]();
  }
}

/** Whether something is mounted on a name. To remove or replace what lies below would take the mount away from the process. */
export function isMountPoint(spot: Pick<Spot, "directory" | "name">): boolean {
  try {
    using _ = openat2(spot.directory, spot.name, {
      flags: pathOnly | fs.constants.O_NOFOLLOW,
      walk: resolve.noMounts | resolve.noMagicLinks,
    });
    return false;
  } catch (error) {
    if (isErrno(error, "EXDEV")) return true;
    if (isErrno(error, "ENOENT")) return false;
    throw error;
  }
}

/**
 * Refuses what a kernel's file system shows: there, reading and writing are commands, and would be given with our rights.
 * @throws NexusError `unsupported`
 */
export function refuseKernelFiles(file: { fd: Fd }, owner: string, path: Buffer): void {
  if (!kernelFileSystems.has(fs.statfsSync(reopenPath(file.fd)).type)) return;
  throw new NexusError("unsupported", `${owner}: ${path.toString()} is the kernel's, not a file`, {
    hint: "read it by a command inside, such as cat",
  });
}

/** The way to a held file through our own descriptor, which no rename can bend. */
export function reopenPath(fd: Fd): string {
  return `/proc/self/fd/${fd.number}`;
}

function held(fd: Fd): Held {
  try {
    return { fd, stats: fs.fstatSync(fd.number), [Symbol.dispose]: () => fd[Symbol.dispose]() };
  } catch (error) {
    fd[Symbol.dispose]();
    throw error;
  }
}

function splitPath(path: Buffer): { directory: Buffer; name: Buffer } {
  let end = path.length;
  while (end > 0 && path[end - 1] === slash) end--;
  const cut = path.lastIndexOf(slash, end - 1);
  const directory = path.subarray(0, Math.max(cut, 0));
  return {
    directory: directory.length === 0 ? Buffer.from("/") : directory,
    name: end === 0 ? Buffer.alloc(0) : path.subarray(cut + 1, end),
  };
}

export function isDots(name: Buffer): boolean {
  return name.equals(Buffer.from(".")) || name.equals(Buffer.from(".."));
}

const inside = resolve.inRoot | resolve.noMagicLinks;
const slash = 0x2f;
/** As the kernel has it (path_resolution(7)). */
const mostLinks = 40;

/** statfs(2), include/uapi/linux/magic.h: proc, sysfs, cgroup and cgroup2, debugfs, tracefs, securityfs, bpf, configfs, nsfs, devpts, mqueue, binfmt_misc, efivarfs, pstore, selinux, smack, fusectl, resctrl. */
const kernelFileSystems: ReadonlySet<number> = new Set([
  0x9fa0, 0x62656572, 0x27e0eb, 0x63677270, 0x64626720, 0x74726163, 0x73636673, 0xcafe4a11, 0x62656570, 0x6e736673, 0x1cd1, 0x19800202,
  0x42494e4d, 0xde5e81e4, 0x6165676c, 0xf97cff8c, 0x43415d53, 0x65735543, 0x7655821,
]);
