import * as fs from "node:fs";
import { dirname, join } from "node:path";
import { NexusError } from "../base/errors.ts";
import { asKernel, isErrno } from "../sys/errno.ts";
import { type Fd, fdNumber, openFile } from "../sys/fd.ts";
import { lockDirectory } from "../sys/lock.ts";
import { mountAt, mountFlags } from "../sys/mount.ts";
import { inNewNetns, ownNetns } from "../sys/netns.ts";
import { listMounts, unmount, unmountAsync } from "./mounts.ts";

export { inNetns } from "../sys/netns.ts";

/** Where iproute2 keeps named network namespaces, and so do we: `ip netns` sees ours. */
export const netnsDirectory = "/run/netns";

/** What makes two descriptors or paths the same namespace. Inode numbers are used again after a namespace has gone. */
export type NamespaceId = { dev: bigint; ino: bigint };

type Place = { directory?: string };

/**
 * Makes an empty network namespace that lives until removed. All or nothing: a failure leaves no file and no mount.
 * @throws NexusError `name-taken`; KernelError
 */
export function createNamespace(name: string, place: Place = {}): void {
  pin(name, place, (path) => inNewNetns(() => bind(name, "/proc/thread-self/ns/net", path)));
}

/** An empty network namespace without a name, which ends with the descriptor and the last process in it. @throws KernelError */
export function anonymousNamespace(): Fd {
  return inNewNetns(ownNetns);
}

/**
 * Gives a name to the network namespace a process lives in, which then outlives the process. All or nothing.
 * @throws NexusError `name-taken`; KernelError, ENOENT when the process has ended
 */
export function pinNamespace(name: string, pid: number, place: Place = {}): void {
  pin(name, place, (path) => bind(name, `/proc/${pid}/ns/net`, path));
}

/** Gives a name to a namespace that a descriptor holds. All or nothing. @throws NexusError `name-taken`; KernelError */
export function nameNamespace(name: string, namespace: Fd, place: Place = {}): void {
  pin(name, place, (path) => bind(name, `/proc/self/fd/${namespace.number}`, path));
}

/** Lets a namespace go; it ends with the last process and descriptor in it. Nothing happens when there is none. @throws KernelError */
export function removeNamespace(name: string, place: Place = {}): void {
  const path = namespacePath(name, place);
  // Several mounts may lie on top of each other, for instance after a crash between mount and record.
  while (namespaceExists(name, place) && unmount(path));
  removeFile(path);
}

/** As removeNamespace, while the event loop goes on: the kernel takes half a millisecond. Nobody may make one of that name meanwhile. */
export async function removeNamespaceAsync(name: string, place: Place = {}): Promise<void> {
  const path = namespacePath(name, place);
  while (namespaceExists(name, place) && (await unmountAsync(path)));
  removeFile(path);
}

function removeFile(path: string): void {
  asKernel(`remove ${path}`, () => fs.rmSync(path, { force: true }));
}

/** Names of pinned namespaces, sorted; files nothing is mounted on are left out, for they are what a crash leaves. */
export function listNamespaces(place: Place = {}): string[] {
  const directory = place.directory ?? netnsDirectory;
  const prefix = `${realDirectory(directory)}/`;
  const names = listMounts()
    .filter((entry) => entry.type === "nsfs" && entry.target.startsWith(prefix))
    .map((entry) => entry.target.slice(prefix.length));
  return [...new Set(names)].toSorted();
}

/** Whether a namespace of that name is pinned. */
export function namespaceExists(name: string, place: Place = {}): boolean {
  try {
    return fs.statfsSync(namespacePath(name, place)).type === nsfsMagic;
  } catch {
    return false;
  }
}

/** The file that names a namespace. @throws NexusError when the name cannot be a file's */
export function namespacePath(name: string, place: Place = {}): string {
  if (!/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,250}$/.test(name)) throw new NexusError("usage", `"${name}" cannot name a network namespace`);
  return join(place.directory ?? netnsDirectory, name);
}

/** A descriptor of the namespace a path stands for: /run/netns/x or /proc/1234/ns/net. @throws KernelError; NexusError `not-found` when it is no namespace */
export function openNamespace(path: string): Fd {
  using stack = new DisposableStack();
  const fd = stack.use(openFile(path, fs.constants.O_RDONLY));
  // A file whose mount is gone would be found out only by setns, far from the cause.
  const type = asKernel(`inspect ${path}`, () => fs.statfsSync(`/proc/self/fd/${fd.number}`)).type;
  if (type !== nsfsMagic) throw new NexusError("not-found", `${path} is not a network namespace`);
  stack.move();
  return fd;
}

export function ownNamespace(): Fd {
  return ownNetns();
}

/** @throws KernelError */
export function namespaceId(namespace: string | Fd | number): NamespaceId {
  const stat = asKernel(`inspect ${typeof namespace === "string" ? namespace : "a namespace"}`, () =>
    typeof namespace === "string" ? fs.statSync(namespace, { bigint: true }) : fs.fstatSync(fdNumber(namespace), { bigint: true }),
  );
  return { dev: stat.dev, ino: stat.ino };
}

export function sameNamespace(a: NamespaceId, b: NamespaceId): boolean {
  return a.dev === b.dev && a.ino === b.ino;
}

/**
 * Makes the directory a shared mount as iproute2 does: mounts made and taken off in it then show in every mount namespace
 * cloned from ours, and none of those keeps a removed namespace alive.
 */
function shareDirectory(directory: string): void {
  asKernel(`make ${directory}`, () => fs.mkdirSync(directory, { recursive: true, mode: 0o755 }));
  if (tryShare(directory)) return;
  // `ip netns add` takes the same lock: two of us at once would bind the directory twice.
  using _ = lockDirectory(directory, { deadlineMs: 1000 });
  if (tryShare(directory)) return;
  mountAt({
    source: directory,
    target: directory,
    type: null,
    flags: mountFlags.bind | mountFlags.recursive,
    op: `bind ${directory} to itself`,
  });
  tryShare(directory);
}

/** False when the directory is no mount point yet. */
function tryShare(directory: string): boolean {
  try {
    mountAt({ source: "", target: directory, type: null, flags: mountFlags.shared, op: `share ${directory}` });
    return true;
  } catch (error) {
    if (isErrno(error, "EINVAL")) return false;
    throw error;
  }
}

function pin(name: string, place: Place, mountOn: (path: string) => void): void {
  const path = namespacePath(name, place);
  shareDirectory(place.directory ?? netnsDirectory);
  reserve(name, path);
  try {
    mountOn(path);
  } catch (error) {
    fs.rmSync(path, { force: true });
    throw error;
  }
}

function bind(name: string, source: string, target: string): void {
  mountAt({ source, target, type: null, flags: mountFlags.bind, op: `pin network namespace ${name}` });
}

function reserve(name: string, path: string): void {
  try {
    const { O_RDONLY, O_CREAT, O_EXCL } = fs.constants;
    using _ = openFile(path, O_RDONLY | O_CREAT | O_EXCL, 0);
  } catch (error) {
    if (!isErrno(error, "EEXIST")) throw error;
    // A crash between making the file and mounting on it leaves it bare: it is taken over.
    if (!namespaceExists(name, { directory: dirname(path) })) return;
    throw new NexusError("name-taken", `network namespace ${name} exists already`, { cause: error });
  }
}

/** mountinfo has no symbolic links in it: /var/run/netns is /run/netns there. */
function realDirectory(directory: string): string {
  try {
    return fs.realpathSync(directory);
  } catch {
    return directory;
  }
}

/** NSFS_MAGIC of include/uapi/linux/magic.h. */
const nsfsMagic = 0x6e736673;
