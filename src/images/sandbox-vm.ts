import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { chmodSync, existsSync, globSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { NexusError } from "../base/errors.ts";
import { sandboxModules, sandboxVmFiles } from "./sandbox-vm-files.ts";
import { type CpioEntry, withParents, writeCpio } from "./vm-cpio.ts";
import { withLibraries } from "./vm-libraries.ts";
import { modulesInOrder } from "./vm-modules.ts";
import { cloudKernelPackage, unpackPackages } from "./vm-packages.ts";

/** What a virtual machine for one command boots: no agent, no services, one program that runs the command. */
export type SandboxVm = { kernel: string; initrd: string; cmdline: string };

type Making = { directory: string; progress?: (line: string) => void; signal?: AbortSignal };

/**
 * Debian's kernel for virtual machines, a static busybox and perl, made once; the key is the hash of what it is made from.
 * @throws NexusError `image-missing` saying what it lacks
 */
export async function buildSandboxVm(options: Making & { packages?: string }): Promise<SandboxVm> {
  const busybox = ["/bin/busybox", "/usr/bin/busybox"].find((path) => existsSync(path));
  if (busybox === undefined) throw lacks("a static busybox", "apt install busybox-static");
  const program = readFileSync(busybox);
  const base = createHash("sha256")
    .update(JSON.stringify([sandboxVmFiles, sandboxModules]))
    .update(program)
    .digest("hex")
    .slice(0, 32);
  const place = join(options.directory, `sandbox-${base}`);
  const made = { kernel: join(place, "kernel"), initrd: join(place, "initrd"), cmdline: "quiet panic=-1 reboot=t rdinit=/init" };
  if (existsSync(made.initrd)) return made;
  const progress = options.progress ?? (() => undefined);
  const signal = options.signal ?? new AbortController().signal;
  const kernelPackage = await cloudKernelPackage(signal);
  using tree = await unpackPackages(options.packages ?? join(options.directory, "packages"), [kernelPackage, "perl-base"], {
    progress,
    signal,
  });
  progress(`building the virtual machine for sandboxes with ${kernelPackage}`);
  await inPlace(place, (work) => {
    const [kernel] = globSync("boot/vmlinuz-*", { cwd: tree.directory });
    if (kernel === undefined) throw lacks("a kernel in its package");
    writeFileSync(join(work, "kernel"), readFileSync(join(tree.directory, kernel)), { mode: 0o644 });
    writeFileSync(join(work, "initrd"), writeCpio(withParents(contents(tree.directory, program))), { mode: 0o644 });
  });
  return made;
}

/**
 * A root file system of a directory as a disk, read-only for every run: its key names the directory's content.
 * @throws NexusError `image-missing` when mke2fs is not there or fails
 */
export async function buildRootDisk(options: Making & { root: string; key: string }): Promise<string> {
  const name = createHash("sha256").update(options.key).digest("hex").slice(0, 32);
  const place = join(options.directory, `root-${name}`);
  const disk = join(place, "disk");
  if (existsSync(disk)) return disk;
  options.progress?.("making a disk of the sandbox's root file system");
  await inPlace(place, async (work) => {
    await makeDisk(join(work, "disk"), { directory: options.root, bytes: 4 * 1024 ** 3 });
    chmodSync(join(work, "disk"), 0o644);
  });
  return disk;
}

/**
 * A file with an ext4 file system that holds what the directory does; sparse. An owner's directory is read with the owner's rights, for
 * it may change meanwhile: what the owner may not read cannot be led into it. @throws NexusError `image-missing`
 */
export async function makeDisk(
  file: string,
  from: { directory: string; bytes: number; owner?: { uid: number; gid: number } },
): Promise<void> {
  const { uid, gid } = from.owner ?? { uid: 0, gid: 0 };
  const asOwner = from.owner !== undefined && process.getuid?.() === 0;
  await using disk = await open(file, "wx+", 0o600);
  await disk.truncate(from.bytes);
  if (asOwner) await disk.chown(uid, gid);
  // By its descriptor: the directories above it are not the owner's to pass.
  const words = [
    ..."-q -F -t ext4 -O ^has_journal -m 0 -E".split(" "),
    `root_owner=${uid}:${gid},lazy_itable_init=1`,
    "-d",
    from.directory,
    "/proc/self/fd/3",
  ];
  const child = spawn("mke2fs", words, {
    stdio: ["ignore", "ignore", "pipe", disk.fd],
    cwd: "/",
    timeout: 300_000,
    env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", MKE2FS_SYNC: "0" },
    ...(asOwner ? { uid, gid } : {}),
  });
  let said = "";
  child.stderr?.on("data", (bytes: Buffer) => (said = (said + bytes.toString()).slice(0, 500)));
  const status = await new Promise<number>((resolve, reject) => {
    child.once("error", (error: NodeJS.ErrnoException) =>
      reject(error.code === "ENOENT" ? lacks("mke2fs", "apt install e2fsprogs") : error),
    );
    child.once("close", (code) => resolve(code ?? 1));
  });
  if (status !== 0) throw new NexusError("image-missing", `a disk could not be made of ${from.directory}: ${said.trim()}`);
  if (asOwner) await disk.chown(0, 0);
}

function contents(tree: string, busybox: Uint8Array): CpioEntry[] {
  const modules = modulesInOrder(join(tree, "lib/modules"), sandboxModules);
  const text = (path: string, mode: number, words: string): CpioEntry => ({ path, kind: "file", mode, content: Buffer.from(words) });
  const applets = [
    "sh",
    "mount",
    "umount",
    "insmod",
    "ip",
    "mkdir",
    "chmod",
    "cp",
    "ln",
    "rm",
    "cat",
    "echo",
    "hostname",
    "sync",
    "reboot",
  ];
  return [
    ...["dev", "proc", "sys", "tmp"].map((path): CpioEntry => ({ path, kind: "directory", mode: 0o755 })),
    // The kernel opens it for /init before that could mount anything.
    { path: "dev/console", kind: "character-device", mode: 0o600, major: 5, minor: 1 },
    { path: "bin/busybox", kind: "file", mode: 0o755, content: busybox },
    ...applets.map((applet): CpioEntry => ({ path: `bin/${applet}`, kind: "link", target: "busybox" })),
    { path: "lib64", kind: "link", target: "lib" },
    ...withLibraries(tree, { from: "usr/bin/perl", to: "bin/perl" }).map((entry) => ({
      ...entry,
      path: entry.path.replace(/^lib64\//, "lib/"),
    })),
    ...modules.map((module): CpioEntry => ({ path: `lib/modules/${module.name}.ko`, kind: "file", mode: 0o644, content: module.content })),
    text("lib/modules/order", 0o644, modules.map((module) => `${module.name}\n`).join("")),
    ...Object.entries(sandboxVmFiles).map(([path, file]) => text(path, file.mode, file.text)),
  ];
}

/** Made beside its place and then put there: half of it is never seen. */
async function inPlace(place: string, make: (work: string) => void | Promise<void>): Promise<void> {
  const parent = join(place, "..");
  mkdirSync(parent, { recursive: true, mode: 0o755 });
  const work = mkdtempSync(join(parent, ".making-"));
  try {
    await make(work);
    chmodSync(work, 0o755);
    renameSync(work, place);
  } catch (error) {
    rmSync(work, { recursive: true, force: true });
    // Another process may have finished the same one first.
    if (!existsSync(place)) throw error;
  }
}

function lacks(what: string, hint?: string): NexusError {
  return new NexusError("image-missing", `sandboxes in virtual machines need ${what}`, hint === undefined ? {} : { hint });
}
