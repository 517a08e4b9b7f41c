import { checked, checkedAsync, libc } from "./libc.ts";

/** MS_* of mount(2). */
export const mountFlags = {
  readOnly: 1,
  noSuid: 2,
  noDev: 4,
  noExec: 8,
  remount: 32,
  bind: 4096,
  recursive: 16384,
  unbindable: 1 << 17,
  private: 1 << 18,
  slave: 1 << 19,
  shared: 1 << 20,
} as const;

/** MNT_* and UMOUNT_* of umount2(2). */
export const unmountFlags = { force: 1, detach: 2, expire: 4, noFollow: 8 } as const;

/** CLONE_* of unshare(2) that a process with several threads may ask for. */
export const unshareFlags = { fs: 0x200, mounts: 0x20000, network: 0x40000000, uts: 0x4000000, ipc: 0x8000000 } as const;

/** @throws KernelError naming `op` */
export function mountAt(request: {
  source: string | null;
  target: string;
  type: string | null;
  flags: number;
  data?: string | null;
  op: string;
}): void {
  checked(request.op, libc().mount(request.source, request.target, request.type, request.flags, request.data ?? null));
}

/** @throws KernelError */
export function unmountAt(target: string, flags: number): void {
  checked(`unmount ${target}`, libc().umount2(target, flags));
}

/** As unmountAt, on a thread of the pool: the kernel waits until no processor is on a path through it. @throws KernelError */
export async function unmountAtAsync(target: string, flags: number): Promise<void> {
  await checkedAsync(`unmount ${target}`, (done) => libc().umount2.async(target, flags, done));
}

/** Parts the calling thread from what it shares. @throws KernelError */
export function unshare(flags: number): void {
  checked("unshare", libc().unshare(flags));
}
