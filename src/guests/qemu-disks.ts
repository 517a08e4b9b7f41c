import { execFile } from "node:child_process";
import { randomUUID } from "node:crypto";
import { closeSync, constants, copyFileSync, existsSync, openSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { promisify } from "node:util";
import { NexusError } from "../base/errors.ts";
import type { DiskFormat, VmDisk } from "../spec/vm.ts";
import type { QemuDisk } from "./qemu-disk-arguments.ts";
import type { VmImage } from "./qemu-image.ts";
import type { QemuLayout } from "./qemu-layout.ts";
import type { VmPlan } from "./qemu-plan.ts";
import { readShareType } from "./qemu-shares.ts";

/** What an image file says of itself. */
export type DiskFacts = {
  format: string;
  virtualBytes: number;
  /** Other files it names: the one below it, the one with its data. */
  names: string[];
};

/**
 * Makes the guest's own layer over the image's disk, once, and further disks that are to be made. Every file is looked into first.
 * @throws NexusError `image-missing` when one is not there or not what it should be; `spec-invalid`-like faults as `wrong-state`
 */
export async function prepareDisks(imageTool: string, plan: VmPlan, place: { layout: QemuLayout; image: VmImage }): Promise<QemuDisk[]> {
  const { layout, image } = place;
  if (image.disk !== undefined && !existsSync(layout.disk)) await makeLayer(imageTool, plan, { layout, disk: image.disk });
  for (const disk of plan.spec.disks) await prepareDisk(imageTool, disk);
  return disksOf(imageTool, plan, place);
}

/** Makes a further disk that is not there. @throws NexusError `image-missing` */
export async function prepareDisk(imageTool: string, disk: VmDisk): Promise<void> {
  if (existsSync(disk.source)) return;
  if (disk.size === undefined)
    throw new NexusError("image-missing", `disk ${disk.name}: there is no ${disk.source}`, { hint: "give it a size to have it made" });
  await makeDisk(imageTool, { ...disk, size: disk.size });
}

/** Whole or not at all. The tool follows links, so it gets a file made here, under a name for which nobody can have put one there. */
async function makeDisk(imageTool: string, disk: { name: string; source: string; format: DiskFormat; size: number }): Promise<void> {
  const fresh = `${disk.source}.${randomUUID()}`;
  const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;
  try {
    closeSync(openSync(fresh, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600));
    await run(imageTool, ["create", "-q", "-f", disk.format, fresh, String(disk.size)], `make disk ${disk.name}`);
    renameSync(fresh, disk.source);
  } catch (error) {
    rmSync(fresh, { force: true });
    if (error instanceof NexusError) throw error;
    throw new NexusError("image-missing", `cannot make disk ${disk.name}: ${(error as Error).message}`, { cause: error });
  }
}

/** The guest's disks as they are now, root first, what it is set up with last. @throws NexusError as above */
export async function disksOf(imageTool: string, plan: VmPlan, place: { layout: QemuLayout; image: VmImage }): Promise<QemuDisk[]> {
  const root: QemuDisk[] =
    place.image.disk === undefined
      ? []
      : [{ name: "root", path: place.layout.disk, format: "qcow2", readOnly: false, base: place.image.disk }];
  const further = plan.spec.disks.map((disk): QemuDisk => ({
    name: disk.name,
    path: disk.source,
    format: disk.format,
    readOnly: disk.readOnly,
  }));
  const seed = await seedDisk(plan, place);
  // The root disk is a layer of our own making; what it lies on was looked at when it was made.
  for (const disk of root) await examine(imageTool, disk.path, disk.format);
  for (const disk of [...further, ...seed]) await examineWhole(imageTool, disk.path, disk.format);
  return [...root, ...further, ...seed];
}

/** What the guest is told, written anew: it may have changed since. Only root may read it, for it may hold secrets. */
async function seedDisk(plan: VmPlan, { layout, image }: { layout: QemuLayout; image: VmImage }): Promise<QemuDisk[]> {
  if (plan.setup === undefined || image.disk === undefined) return [];
  writeFileSync(`${layout.seed}.new`, await plan.setup.seed(readShareType(layout)), { mode: 0o600 });
  renameSync(`${layout.seed}.new`, layout.seed);
  return [{ name: "cidata", path: layout.seed, format: "raw", readOnly: true }];
}

/**
 * Reads an image's header. `format` is always stated: guessing it lets a guest that writes a qcow2 header into its raw disk read
 * any file of the host.
 * @throws NexusError `image-missing`
 */
export async function examine(imageTool: string, path: string, format: DiskFormat): Promise<DiskFacts> {
  if (!existsSync(path)) throw new NexusError("image-missing", `there is no ${path}`);
  const said = await run(imageTool, ["info", "--force-share", "--output=json", "-f", format, path], `read disk ${path}`);
  const info = JSON.parse(said) as Record<string, unknown>;
  const { data } = (info["format-specific"] ?? {}) as { data?: Record<string, unknown> };
  const names = [info["full-backing-filename"] ?? info["backing-filename"], data?.["data-file"]].filter((name) => typeof name === "string");
  return { format, virtualBytes: Number(info["virtual-size"]), names };
}

/**
 * As examine, and it names no other file: QEMU would open that for the guest, to read and even to write, and it may be any file of the
 * host the author of the image liked to name. @throws NexusError `image-missing`
 */
export async function examineWhole(imageTool: string, path: string, format: DiskFormat): Promise<DiskFacts> {
  const facts = await examine(imageTool, path, format);
  const [other] = facts.names;
  if (other === undefined) return facts;
  throw new NexusError("image-missing", `${path} is a layer over ${other}, or keeps its data there: a disk must be whole`, {
    hint: `make it whole: qemu-img convert -O qcow2 ${path} whole.qcow2`,
  });
}

async function makeLayer(
  imageTool: string,
  plan: VmPlan,
  { layout, disk }: { layout: QemuLayout; disk: { path: string; format: DiskFormat } },
): Promise<void> {
  const base = await examineWhole(imageTool, disk.path, disk.format);
  const wanted = plan.spec.disk;
  if (wanted !== undefined && wanted < base.virtualBytes) {
    throw new NexusError("wrong-state", `the disk cannot have ${wanted} bytes: its image has ${base.virtualBytes}`, {
      hint: "a disk only grows",
    });
  }
  const size = wanted === undefined ? [] : [String(wanted)];
  await run(
    imageTool,
    ["create", "-q", "-f", "qcow2", "-b", disk.path, "-F", disk.format, `${layout.disk}.new`, ...size],
    "make the guest's disk",
  );
  renameSync(`${layout.disk}.new`, layout.disk);
}

/** UEFI firmware of the host, with a copy of its variables for this guest. @throws NexusError `runtime-missing` */
export function prepareFirmware(layout: QemuLayout): { code: string; variables: string } {
  const found = firmwares.find((one) => existsSync(one.code) && existsSync(one.variables));
  if (found === undefined)
    throw new NexusError("runtime-missing", "there is no UEFI firmware for virtual machines here", { hint: "apt install ovmf" });
  if (!existsSync(layout.firmwareVariables) || statSync(layout.firmwareVariables).size !== statSync(found.variables).size) {
    copyFileSync(found.variables, `${layout.firmwareVariables}.new`);
    renameSync(`${layout.firmwareVariables}.new`, layout.firmwareVariables);
  }
  return { code: found.code, variables: layout.firmwareVariables };
}

const firmwares = [
  { code: "/usr/share/OVMF/OVMF_CODE_4M.fd", variables: "/usr/share/OVMF/OVMF_VARS_4M.fd" },
  { code: "/usr/share/OVMF/OVMF_CODE.fd", variables: "/usr/share/OVMF/OVMF_VARS.fd" },
  { code: "/usr/share/edk2/ovmf/OVMF_CODE.fd", variables: "/usr/share/edk2/ovmf/OVMF_VARS.fd" },
  { code: "/usr/share/edk2/x64/OVMF_CODE.4m.fd", variables: "/usr/share/edk2/x64/OVMF_VARS.4m.fd" },
];

async function run(program: string, args: readonly string[], op: string): Promise<string> {
  try {
    const { stdout } = await promisify(execFile)(program, args, { timeout: 60_000, maxBuffer: 1 << 20, env: { LC_ALL: "C" } });
    return stdout;
  } catch (error) {
    const { code, stderr } = error as { code?: unknown; stderr?: string };
    if (code === "ENOENT")
      throw new NexusError("runtime-missing", `${program} is not installed`, { hint: "apt install qemu-utils", cause: error });
    throw new NexusError(
      "image-missing",
      `cannot ${op}: ${(stderr ?? String(error))
        .replace(/^qemu-img: /, "")
        .trim()
        .slice(0, 1000)}`,
      { cause: error },
    );
  }
}
