import { constants, rmdirSync } from "node:fs";
import { isErrno } from "../sys/errno.ts";
import { type Fd, openFile } from "../sys/fd.ts";
import { unmountAt, unmountFlags } from "../sys/mount.ts";
import { cloneTree, mountAttribute, pivotRoot, setTreeAttributes } from "../sys/mount-tree.ts";
import { openat2, pathOnly, resolve } from "../sys/openat2.ts";
import { inCopyOfMounts, ownMounts } from "../sys/mountns.ts";

export { attachTree, mountAttribute, setTreeAttributes } from "../sys/mount-tree.ts";
export { inCopyOfMounts, inMounts } from "../sys/mountns.ts";

/**
 * A mount namespace whose root is what `fill` mounts at `place`, an existing directory, and puts there; nothing else of the host
 * is in it. It ends with the descriptor and the last process in it. `fill` is synchronous and still sees the host. @throws KernelError
 */
export function makeMountNamespace(place: string, fill: () => void): Fd {
  using home = ownMounts();
  return inCopyOfMounts(home, () => {
    fill();
    pivotRoot(place, `${place}/old`);
    process.chdir("/");
    unmountAt("/old", unmountFlags.detach);
    rmdirSync("/old");
    return ownMounts();
  });
}

/** Holds a directory, so that nobody can put another in its place. @throws KernelError: ELOOP when any part of the path is a link */
export function holdDirectory(path: string): Fd {
  using root = openFile("/", pathOnly | constants.O_DIRECTORY);
  return openat2(root, Buffer.from(path), { flags: pathOnly | constants.O_DIRECTORY, walk: resolve.noLinks });
}

/** A mount of a directory, without what is mounted below it: no program gains rights by its files, and it holds no devices. @throws KernelError */
export function directoryTree(directory: Fd): Fd {
  using stack = new DisposableStack();
  const tree = stack.use(cloneTree(directory));
  setTreeAttributes(tree, mountAttribute.noSuid | mountAttribute.noDev);
  stack.move();
  return tree;
}

/** A mount of a directory with all that is mounted below it; nosuid, nodev and read-only hold for all of it. @throws KernelError */
export function wholeTree(directory: Fd, { readOnly }: { readOnly: boolean }): Fd {
  using stack = new DisposableStack();
  const tree = stack.use(cloneTree(directory, { recursive: true }));
  const { noSuid, noDev } = mountAttribute;
  setTreeAttributes(tree, noSuid | noDev | (readOnly ? mountAttribute.readOnly : 0), { recursive: true });
  stack.move();
  return tree;
}

/** Runs `fn` in a copy of this process's mount namespace; see inCopyOfMounts. @throws KernelError, else whatever `fn` throws */
export function inPrivateMounts<T>(fn: () => T extends PromiseLike<unknown> ? never : T): T {
  using home = ownMounts();
  return inCopyOfMounts(home, fn);
}

/** Has a tree's files owned as a user namespace maps their owners; false when their file system cannot. @throws KernelError */
export function mapOwners(tree: Fd, userNamespace: Fd): boolean {
  try {
    setTreeAttributes(tree, 0, { idMap: userNamespace });
    return true;
  } catch (error) {
    if (isErrno(error, "EINVAL")) return false;
    throw error;
  }
}

/** The mount namespace a process is in. @throws KernelError */
export function mountsOf(pid: number): Fd {
  return openFile(`/proc/${pid}/ns/mnt`, constants.O_RDONLY);
}

/** The user namespace a process is in. @throws KernelError */
export function userNamespaceOf(pid: number): Fd {
  return openFile(`/proc/${pid}/ns/user`, constants.O_RDONLY);
}
