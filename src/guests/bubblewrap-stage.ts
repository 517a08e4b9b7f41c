import { chmodSync, chownSync, constants, mkdirSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Fd } from "../kernel/console-socket.ts";
import { attachTree, inCopyOfMounts, inMounts, makeMountNamespace, mountAttribute, setTreeAttributes } from "../kernel/mount-trees.ts";
import { mount } from "../kernel/mounts.ts";
import { maskedPaths } from "./oci-security.ts";
import { ownDirectories, type RootEntry, sandboxUser } from "./sandbox-root.ts";

/**
 * Where bubblewrap is started instead of on the host: a mount namespace that holds the host's programs, to run it by, and ready at
 * /root what commands are to see. Whatever a faulty bubblewrap may be led to, nothing else of the host is there; and it mounts
 * nothing below a directory a command can write.
 */
export type Stage = Disposable & {
  /** Files of /proc that tell about the host; `directory` says what hides one. */
  masks: { path: string; directory: boolean }[];
  /** Names at the top of a command's root that a workspace may not hide. */
  taken: ReadonlySet<string>;
  /** Runs `fn` where a sandbox of this user has everything it needs below /root; what it spawns stays there. @throws KernelError */
  enter<T>(owner: { uid: number; gid: number }, fn: () => T extends PromiseLike<unknown> ? never : T): T;
  /** Has a directory to mount a workspace on in every sandbox. @throws KernelError */
  makeTarget(target: string): void;
};

/** @throws KernelError */
export function makeStage(tools: readonly RootEntry[], root: readonly RootEntry[]): Stage {
  const masks = maskedProc();
  // Modes below are those meant: the daemon's umask is a strict one.
  using _ = withUmask(0o022);
  const namespace = makeMountNamespace(place, () => {
    mount({ source: "nexus", target: place, type: "tmpfs", flags: ["noSuid"], data: "mode=755,size=16m" });
    for (const name of ["old", "proc", "dev", "etc", "tmp", "scratch", "empty", "root"]) mkdirSync(join(place, name));
    writeFileSync(join(place, "nothing"), "", { mode: 0o444 });
    mount({ source: "/proc", target: join(place, "proc"), flags: ["bind"] });
    fill(place, tools);
    const inner = join(place, "root");
    mount({ source: "nexus", target: inner, type: "tmpfs", flags: ["noSuid"], data: "mode=755,size=16m" });
    for (const name of ["dev", "home", "proc", "run", "tmp", "etc", "sys", "root", "mnt"]) mkdirSync(join(inner, name));
    mkdirSync(join(inner, sandboxUser.home));
    fill(inner, root);
    devices(join(inner, "dev"));
  });
  const taken = new Set([...ownDirectories, "etc", ...root.map((entry) => entry.target.split("/")[1] ?? "")]);
  const targets = new Set<string>();
  return {
    masks,
    taken,
    enter: (owner, fn) =>
      inCopyOfMounts(namespace, () => {
        prepareScratch(owner);
        setTreeAttributes("/root", mountAttribute.readOnly);
        return fn();
      }),
    makeTarget(target) {
      if (targets.has(target)) return;
      using _ = withUmask(0o022);
      inMounts(namespace, () => void mkdirSync(`/root${target}`, { recursive: true }));
      targets.add(target);
    },
    [Symbol.dispose]: () => namespace[Symbol.dispose](),
  };
}

/** Gives a sandbox that waits what its run has. @throws KernelError */
export function furnish(
  mounts: Fd,
  { scratchBytes, workspace }: { scratchBytes: number; workspace: { tree: Fd; target: string } | undefined },
): void {
  inMounts(mounts, () => {
    // It is one file system, whichever of its places is named.
    mount({ source: "scratch", target: "/tmp", type: "tmpfs", flags: ["remount", "noSuid", "noDev"], data: scratchSize(scratchBytes) });
    if (workspace !== undefined) attachTree(workspace.tree, workspace.target);
  });
}

/** Where a mount of a run goes that is not the workspace's. */
const scratchPlaces: readonly { name: string; target: string; mode: number }[] = [
  { name: "tmp", target: "/tmp", mode: 0o1777 },
  { name: "shm", target: "/dev/shm", mode: 0o1777 },
  { name: "run", target: "/run", mode: 0o755 },
  { name: "home", target: sandboxUser.home, mode: 0o700 },
];

/** Everything written outside the workspace lies in one memory file system, whose size is one limit for all of it. */
function prepareScratch(owner: { uid: number; gid: number }): void {
  const size = scratchSize(bytesPerInode);
  mount({ source: "scratch", target: "/scratch", type: "tmpfs", flags: ["noSuid", "noDev"], data: `mode=755,${size}` });
  for (const { name, target, mode } of scratchPlaces) {
    const path = join("/scratch", name);
    mkdirSync(path);
    chmodSync(path, mode);
    chownSync(path, owner.uid, owner.gid);
    mount({ source: path, target: `/root${target}`, flags: ["bind"] });
  }
  const data = "newinstance,ptmxmode=0666,mode=620";
  mount({ source: "devpts", target: "/root/dev/pts", type: "devpts", flags: ["noSuid", "noExec"], data });
}

function withUmask(mask: number): Disposable {
  const before = process.umask(mask);
  return { [Symbol.dispose]: () => void process.umask(before) };
}

function scratchSize(bytes: number): string {
  return `size=${bytes},nr_inodes=${Math.max(1024, Math.floor(bytes / bytesPerInode))}`;
}

function fill(root: string, entries: readonly RootEntry[]): void {
  for (const entry of entries) {
    const target = join(root, entry.target);
    mkdirSync(dirname(target), { recursive: true });
    switch (entry.kind) {
      case "link":
        symlinkSync(entry.to, target);
        break;
      case "file":
        writeFileSync(target, entry.text, { encoding: "latin1", mode: 0o644 });
        break;
      case "tree":
        bindReadOnly(entry.source, target);
    }
  }
}

function bindReadOnly(source: string, target: string): void {
  if (statSync(source).isDirectory()) mkdirSync(target);
  else writeFileSync(target, "");
  mount({ source, target, flags: ["bind", "recursive"] });
  setTreeAttributes(target, mountAttribute.readOnly | mountAttribute.noSuid | mountAttribute.noDev, { recursive: true });
}

/** The devices that give away nothing, and the usual names of a process's own descriptors. */
function devices(directory: string): void {
  for (const name of ["null", "zero", "full", "random", "urandom", "tty"]) {
    writeFileSync(join(directory, name), "");
    mount({ source: join("/dev", name), target: join(directory, name), flags: ["bind"] });
  }
  for (const [index, name] of ["stdin", "stdout", "stderr"].entries()) symlinkSync(`/proc/self/fd/${index}`, join(directory, name));
  symlinkSync("/proc/self/fd", join(directory, "fd"));
  symlinkSync("pts/ptmx", join(directory, "ptmx"));
  for (const name of ["pts", "shm"]) mkdirSync(join(directory, name));
}

/** Those that are there and that anybody may read; the others are shut by their modes. */
export function maskedProc(): Stage["masks"] {
  return maskedPaths.flatMap((path) => {
    const stat = path.startsWith("/proc/") ? statSync(path, { throwIfNoEntry: false }) : undefined;
    return stat === undefined || (stat.mode & constants.S_IRWXO) === 0 ? [] : [{ path, directory: stat.isDirectory() }];
  });
}

/** Any directory that is there on every Linux; only this namespace sees what is mounted on it. */
const place = "/run";
/** As ext4 has it: small files use up inodes before they use up bytes. */
const bytesPerInode = 16_384;
