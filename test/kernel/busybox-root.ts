import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** A root file system with Debian's static busybox and nothing else: no place to mount anything on, no perl, no socat. */
export function busyboxRoot(directory: string, name: string): string {
  for (const path of ["bin", "etc"]) mkdirSync(join(directory, path), { recursive: true });
  cpSync(execFileSync("which", ["busybox"], { encoding: "utf8" }).trim(), join(directory, "bin/busybox"));
  for (const applet of ["sh", "cat", "echo", "id", "ls", "nc", "touch", "wget"]) symlinkSync("busybox", join(directory, "bin", applet));
  writeFileSync(join(directory, "etc/os-release"), `NAME=${name}\n`);
  return directory;
}
