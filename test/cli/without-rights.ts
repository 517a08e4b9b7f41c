import { chmodSync, statSync } from "node:fs";

/** Acts while a file or directory is shut to this process, root or not. What `act` loads must be loaded before. */
export async function withoutRights<T>(path: string, act: () => Promise<T>): Promise<T> {
  const { mode } = statSync(path);
  chmodSync(path, 0);
  const root = process.geteuid?.() === 0;
  if (root) process.seteuid?.(65534);
  try {
    return await act();
  } finally {
    if (root) process.seteuid?.(0);
    chmodSync(path, mode);
  }
}
