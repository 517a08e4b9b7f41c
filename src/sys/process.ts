import { checked, libc } from "./libc.ts";

/** PR_* of prctl(2). */
const option = { setChildSubreaper: 36 } as const;

/** Makes this process the parent of descendants whose own parent ends, so that their exit status can be had. @throws KernelError */
export function becomeSubreaper(): void {
  checked("become the reaper of descendants", libc().prctl(option.setChildSubreaper, 1, 0, 0, 0));
}
