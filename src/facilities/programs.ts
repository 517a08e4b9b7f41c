import { existsSync } from "node:fs";
import { NexusError } from "../base/errors.ts";

/** Programs facilities are made with, and the Debian package each is in. */
const packages = {
  "mkfs.ext4": "e2fsprogs",
  git: "git",
  setpriv: "util-linux",
  prlimit: "util-linux",
  unshare: "util-linux",
  mount: "mount",
  umount: "mount",
  du: "coreutils",
} as const;

/** The file of a program; where nobody but root can put one. @throws NexusError `runtime-missing` */
export function program(name: keyof typeof packages): string {
  const found = directories.map((directory) => `${directory}/${name}`).find((path) => existsSync(path));
  if (found !== undefined) return found;
  throw new NexusError("runtime-missing", `${name} is not installed`, { hint: `apt install ${packages[name]}` });
}

const directories = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];
