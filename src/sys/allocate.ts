import { type Fd, fdNumber } from "./fd.ts";
import { checked, libc } from "./libc.ts";

/** Takes room on the disk for a file, as zeros (fallocate(2)): what is written there later cannot meet a full disk. @throws KernelError: ENOSPC, EOPNOTSUPP */
export function allocate(file: Fd | number, bytes: number): void {
  checked("take room on the disk", libc().fallocate(fdNumber(file), 0, 0, bytes));
}
