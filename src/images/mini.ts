import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { NexusError } from "../base/errors.ts";
import { type ImageConfig, idleCommand } from "./image-config.ts";

/** The built-in root file system: the host's static busybox and the few files every program expects. Nothing is downloaded. */
export type Mini = { key: string; lower: string; config: ImageConfig };

/**
 * Makes it, or finds it made: the directory's name is the hash of what it is made from, so another busybox gives another one.
 * @throws NexusError `image-missing` when the host has no static busybox
 */
export function buildMini(directory: string, busybox?: string): Mini {
  const program = busybox ?? ["/bin/busybox", "/usr/bin/busybox"].find((path) => existsSync(path));
  if (program === undefined || !existsSync(program)) throw missing(`${program ?? "/bin/busybox"} is not there`);
  const key = createHash("sha256").update(layoutVersion).update(readFileSync(program)).digest("hex").slice(0, 32);
  const lower = join(directory, key);
  if (!existsSync(lower)) {
    mkdirSync(directory, { recursive: true, mode: 0o755 });
    const work = mkdtempSync(join(directory, ".making-"));
    try {
      fill(work, program);
      renameSync(work, lower);
    } catch (error) {
      rmSync(work, { recursive: true, force: true });
      // Another process may have finished the same one first.
      if (!existsSync(lower)) throw error;
    }
  }
  return { key: `mini:${key}`, lower, config: { entrypoint: [], command: idleCommand, env: [], workingDirectory: "/root", user: "" } };
}

/** To be changed with the files below, so that root file systems made earlier are not taken for these. */
const layoutVersion = "1";

const directories: [path: string, mode: number][] = [
  ["bin", 0o755],
  ["dev", 0o755],
  ["etc", 0o755],
  ["home", 0o755],
  ["proc", 0o555],
  ["root", 0o700],
  ["run", 0o755],
  ["sys", 0o555],
  ["tmp", 0o1777],
  ["usr", 0o755],
  ["usr/bin", 0o755],
  ["var", 0o755],
  ["var/log", 0o755],
  ["var/tmp", 0o1777],
];

const files: Record<string, string> = {
  "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
  "etc/group": "root:x:0:\ntty:x:5:\nnogroup:x:65534:\n",
  "etc/hosts": "",
  "etc/hostname": "",
  "etc/resolv.conf": "",
  "etc/os-release": 'NAME="Nexus mini"\nID=nexus-mini\n',
};

function fill(root: string, program: string): void {
  chmodSync(root, 0o755);
  for (const [path, mode] of directories) {
    mkdirSync(join(root, path));
    chmodSync(join(root, path), mode);
  }
  for (const [path, text] of Object.entries(files)) writeFileSync(join(root, path), text, { mode: 0o644 });
  copyFileSync(program, join(root, "bin/busybox"));
  chmodSync(join(root, "bin/busybox"), 0o755);
  for (const applet of appletsOf(program)) if (applet !== "busybox") symlinkSync("busybox", join(root, "bin", applet));
  symlinkSync("../run", join(root, "var/run"));
  symlinkSync("../../bin/env", join(root, "usr/bin/env"));
  symlinkSync("bin", join(root, "sbin"));
}

function appletsOf(program: string): string[] {
  const listed = spawnSync(program, ["--list"], { encoding: "utf8", timeout: 5000 });
  const names = (listed.stdout ?? "").split("\n").filter((name) => /^[A-Za-z0-9[_.-]+$/.test(name));
  if (listed.status !== 0 || !names.includes("sh")) throw missing(`${program} --list names no shell`);
  return names;
}

function missing(problem: string): NexusError {
  return new NexusError("image-missing", `the mini image needs a static busybox: ${problem}`, { hint: "apt install busybox-static" });
}
