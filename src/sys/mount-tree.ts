import { NexusError } from "../base/errors.ts";
import { Fd } from "./fd.ts";
import { addressOf, checked, libc } from "./libc.ts";
import { nulEnded } from "./openat2.ts";

/** MOUNT_ATTR_* of mount_setattr(2). */
export const mountAttribute = { readOnly: 0x1, noSuid: 0x2, noDev: 0x4, noExec: 0x8, idMapped: 0x100000 } as const;

/** A mount of its own of what lies at a path or is open, attached nowhere; it ends with the descriptor (open_tree(2), Linux 5.2). @throws KernelError */
export function cloneTree(source: string | Fd, options: { recursive?: true } = {}): Fd {
  const flags = openTreeClone | closeOnExec | atEmptyPath | (options.recursive === true ? atRecursive : 0);
  const [directory, path] = typeof source === "string" ? [atCwd, source] : [source.number, ""];
  return new Fd(checked(`clone the mount of ${where(source)}`, libc().syscallAt(sysOpenTree, directory, path, flags, null, 0)));
}

/** Attaches a cloned tree at a path of the calling thread's mount namespace (move_mount(2)). @throws KernelError */
export function attachTree(tree: Fd, target: string): void {
  const to = Buffer.from(`${target}\0`);
  checked(`attach a mount at ${target}`, libc().syscallAt(sysMoveMount, tree.number, "", atCwd, to, moveFromEmptyPath));
}

/**
 * Adds attributes (sums of `mountAttribute`) to a mount, and, given a user namespace, shows its files' owners as that maps them
 * (mount_setattr(2), Linux 5.12). @throws KernelError: EINVAL when the file system cannot have its owners mapped
 */
export function setTreeAttributes(tree: string | Fd, attributes: number, options: { idMap?: Fd; recursive?: true } = {}): void {
  const { idMap } = options;
  const words = BigUint64Array.of(
    BigInt(attributes | (idMap === undefined ? 0 : mountAttribute.idMapped)),
    0n,
    0n,
    BigInt(idMap?.number ?? 0),
  );
  const [directory, path] = typeof tree === "string" ? [atCwd, tree] : [tree.number, ""];
  const flags = atEmptyPath | (options.recursive === true ? atRecursive : 0);
  const bytes = new Uint8Array(words.buffer);
  checked(`change the mount of ${where(tree)}`, libc().syscallAt(sysMountSetattr, directory, path, flags, bytes, bytes.length));
}

/** Makes the mount at `root` the root of the calling thread's mount namespace; the old one is then at `old`, which lies below it. @throws KernelError */
export function pivotRoot(root: string, old: string): void {
  const number = sysPivotRoot[process.arch];
  if (number === undefined) throw new NexusError("unsupported", `pivot_root has no known number on ${process.arch}`);
  const [newRoot, oldRoot] = [nulEnded(Buffer.from(root)), nulEnded(Buffer.from(old))];
  checked(`make ${root} the root`, libc().syscall(number, addressOf(newRoot), addressOf(oldRoot), null, 0));
}

function where(tree: string | Fd): string {
  return typeof tree === "string" ? tree : "a directory";
}

// The same numbers on every architecture (include/uapi/asm-generic/unistd.h), but for the oldest of them.
const sysOpenTree = 428;
const sysMoveMount = 429;
const sysMountSetattr = 442;
const sysPivotRoot: Readonly<Partial<Record<NodeJS.Architecture, number>>> = { x64: 155, arm64: 41 };

const atCwd = -100;
const atEmptyPath = 0x1000;
const atRecursive = 0x8000;
const openTreeClone = 1;
const closeOnExec = 0o2000000;
const moveFromEmptyPath = 0x4;
