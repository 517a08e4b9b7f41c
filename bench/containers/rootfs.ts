import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { dirname, join } from "node:path";
import { runOrThrow } from "../program.ts";

/** A root file system with busybox and the host's `date`, whose %N tells to the nanosecond when a container came to life. */
export function makeRootfs(): Disposable & { directory: string } {
  const directory = mkdtempSync("/var/tmp/nexus-bench-rootfs-");
  for (const empty of ["proc", "sys", "dev", "etc", "tmp", "run", "bin"]) mkdirSync(join(directory, empty));
  copyFileSync("/bin/busybox", join(directory, "bin/busybox"));
  symlinkSync("busybox", join(directory, "bin/sleep"));
  symlinkSync("busybox", join(directory, "bin/sh"));
  for (const file of ["/bin/date", ...librariesOf("/bin/date")]) {
    mkdirSync(join(directory, dirname(file)), { recursive: true });
    copyFileSync(file, join(directory, file));
  }
  return { directory, [Symbol.dispose]: () => rmSync(directory, { recursive: true, force: true }) };
}

/** What a measured container runs: prints nanoseconds since the epoch. */
export const tellTime = ["/bin/date", "+%s%N"] as const;

/** Milliseconds since the epoch, with fractions, on the clock `date` reads. */
export function wallClock(): number {
  return performance.timeOrigin + performance.now();
}

/** What a container printed, as wallClock() would have given it then. */
export function clockOf(printed: string): number {
  const digits = /^\d{19}$/m.exec(printed)?.[0];
  if (digits === undefined) throw new Error(`the container printed no time: ${JSON.stringify(printed)}`);
  return Number(BigInt(digits) / 1000n) / 1000;
}

function librariesOf(program: string): string[] {
  return [...runOrThrow("ldd", [program]).matchAll(/(?:=> )?(\/\S+) \(0x/g)].map((match) => match[1] ?? "");
}
