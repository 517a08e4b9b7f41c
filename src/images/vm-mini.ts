import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { chmodSync, existsSync, globSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { NexusError } from "../base/errors.ts";
import { type CpioEntry, withParents, writeCpio } from "./vm-cpio.ts";
import { withLibraries } from "./vm-libraries.ts";
import { diskModules, firstModules, miniFiles, restModules } from "./vm-mini-files.ts";
import { type KernelModule, modulesInOrder } from "./vm-modules.ts";
import { cloudKernelPackage, unpackPackages } from "./vm-packages.ts";

/** A kernel and an initial file system that is the whole guest: nothing is read from or written to any disk. */
export type MiniVm = {
  reference: "mini";
  key: string;
  kernel: { path: string; initrd: string; cmdline: string };
  /** Debian's kernel for virtual machines is built without 9p. */
  shareType: "virtiofs";
};

export type MiniVmOptions = {
  /** Packages are kept in `packages/`, what was built in `<key>/`, and `built.json` says which one is the newest. */
  directory: string;
  /** A static busybox; by default the host's. */
  busybox?: string;
  /** Asks apt for newer packages, even when one was built before. */
  refresh?: boolean;
  progress?: (line: string) => void;
  signal?: AbortSignal;
};

/**
 * The mini virtual machine: Debian's kernel for virtual machines, a static busybox and the standard guest agent. Built in seconds,
 * once; the key is the hash of what it is made from.
 * @throws NexusError `image-missing` saying what it lacks
 */
export async function buildMiniVm(options: MiniVmOptions): Promise<MiniVm> {
  const busybox = options.busybox ?? ["/bin/busybox", "/usr/bin/busybox"].find((path) => existsSync(path));
  if (busybox === undefined || !existsSync(busybox)) throw noBusybox(`${busybox ?? "/bin/busybox"} is not there`);
  const program = readFileSync(busybox);
  const base = createHash("sha256")
    .update(JSON.stringify([miniFiles, firstModules, restModules, diskModules, cmdline]))
    .update(program)
    .digest("hex");
  const known = options.refresh === true ? undefined : recall(options.directory, base);
  if (known !== undefined) return known;
  const progress = options.progress ?? (() => undefined);
  const signal = options.signal ?? new AbortController().signal;
  const kernelPackage = await cloudKernelPackage(signal);
  using tree = await unpackPackages(join(options.directory, "packages"), [kernelPackage, "qemu-guest-agent", "e2fsprogs"], {
    progress,
    signal,
  });
  const key = createHash("sha256").update(base).update(tree.packages.join("\n")).digest("hex").slice(0, 32);
  if (!existsSync(join(options.directory, key))) {
    progress(`building the mini virtual machine with ${kernelPackage}`);
    build(options.directory, key, { tree: tree.directory, program, applets: appletsOf(busybox) });
  }
  writeWhole(join(options.directory, "built.json"), JSON.stringify({ base, key } satisfies Built));
  return at(options.directory, key);
}

/** Quiet, for every line is written by an emulated processor to an emulated serial port; a panic ends the machine and is seen. */
const cmdline = "console=ttyS0 quiet panic=-1 rdinit=/init";

type Built = { base: string; key: string };

/** The newest that was built here. */
export function builtMiniVm(directory: string): MiniVm | undefined {
  return recall(directory, undefined);
}

/** Built of that, or of anything. */
function recall(directory: string, base: string | undefined): MiniVm | undefined {
  try {
    const built = JSON.parse(readFileSync(join(directory, "built.json"), "utf8")) as Built;
    if ((base !== undefined && built.base !== base) || !/^[0-9a-f]{32}$/.test(built.key)) return undefined;
    const mini = at(directory, built.key);
    return existsSync(mini.kernel.path) && existsSync(mini.kernel.initrd) ? mini : undefined;
  } catch {
    return undefined;
  }
}

function at(directory: string, key: string): MiniVm {
  const place = join(directory, key);
  const kernel = { path: join(place, "kernel"), initrd: join(place, "initrd"), cmdline };
  return { reference: "mini", key: `mini-vm:${key}`, kernel, shareType: "virtiofs" };
}

function build(directory: string, key: string, from: { tree: string; program: Uint8Array; applets: string[] }): void {
  const work = mkdtempSync(join(directory, ".making-"));
  try {
    const [kernel] = globSync("boot/vmlinuz-*", { cwd: from.tree });
    if (kernel === undefined) throw new NexusError("image-missing", "the kernel's package has no kernel in boot/");
    writeFileSync(join(work, "kernel"), readFileSync(join(from.tree, kernel)), { mode: 0o644 });
    writeFileSync(join(work, "initrd"), writeCpio(withParents(contents(from))), { mode: 0o644 });
    // Made for its maker alone; finished, everybody may boot it and nobody else change it.
    chmodSync(work, 0o755);
    renameSync(work, join(directory, key));
  } catch (error) {
    rmSync(work, { recursive: true, force: true });
    // Another process may have finished the same one first.
    if (!existsSync(join(directory, key))) throw error;
  }
}

function contents(from: { tree: string; program: Uint8Array; applets: string[] }): CpioEntry[] {
  const directory = join(from.tree, "lib/modules");
  const first = modulesInOrder(directory, firstModules);
  const booted = modulesInOrder(directory, [...firstModules, ...restModules]);
  const modules = modulesInOrder(directory, [...firstModules, ...restModules, ...diskModules]);
  const lines = (part: readonly KernelModule[]): string => part.map((module) => `${module.name}\n`).join("");
  const text = (path: string, mode: number, words: string): CpioEntry => ({ path, kind: "file", mode, content: Buffer.from(words) });
  return [
    ...["dev", "proc", "sys", "run", "tmp", "root", "mnt", "var"].map((path): CpioEntry => ({ path, kind: "directory", mode: 0o755 })),
    // The kernel opens it for /init before that could mount anything.
    { path: "dev/console", kind: "character-device", mode: 0o600, major: 5, minor: 1 },
    { path: "bin/busybox", kind: "file", mode: 0o755, content: from.program },
    ...from.applets.map((applet): CpioEntry => ({ path: `bin/${applet}`, kind: "link", target: "busybox" })),
    { path: "sbin", kind: "link", target: "bin" },
    { path: "lib64", kind: "link", target: "lib" },
    { path: "usr", kind: "link", target: "." },
    { path: "var/run", kind: "link", target: "../run" },
    ...programs(from.tree),
    ...modules.map((module): CpioEntry => ({ path: `lib/modules/${module.name}.ko`, kind: "file", mode: 0o644, content: module.content })),
    text("lib/modules/first", 0o644, lines(first)),
    text("lib/modules/rest", 0o644, lines(booted.slice(first.length))),
    text("lib/modules/disk", 0o644, lines(modules.slice(booted.length))),
    ...Object.entries(miniFiles).map(([path, file]) => text(path, file.mode, file.text)),
  ];
}

/** Those busybox lacks, with their libraries. Its own mke2fs writes every inode of a large disk, and knows no journal. */
function programs(tree: string): CpioEntry[] {
  const found = [
    { from: "usr/sbin/qemu-ga", to: "bin/qemu-ga" },
    { from: "sbin/mke2fs", to: "bin/mkfs.ext4" },
  ].flatMap((program) => withLibraries(tree, program));
  const byPath = new Map(found.map((entry) => [entry.path, { ...entry, path: entry.path.replace(/^lib64\//, "lib/") }]));
  return [...byPath.values()];
}

function appletsOf(program: string): string[] {
  const listed = spawnSync(program, ["--list"], { encoding: "utf8", timeout: 5000 });
  const names = (listed.stdout ?? "").split("\n").filter((name) => /^[A-Za-z0-9[_.-]+$/.test(name));
  if (listed.status !== 0 || !names.includes("sh")) throw noBusybox(`${program} --list names no shell`);
  return names.filter((name) => name !== "busybox" && !Object.hasOwn(miniFiles, `bin/${name}`));
}

function noBusybox(problem: string): NexusError {
  return new NexusError("image-missing", `the mini virtual machine needs a static busybox: ${problem}`, {
    hint: "apt install busybox-static",
  });
}

function writeWhole(path: string, text: string): void {
  writeFileSync(`${path}.new`, text, { mode: 0o644 });
  renameSync(`${path}.new`, path);
}
