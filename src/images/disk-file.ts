import { execFile } from "node:child_process";
import { type BigIntStats, constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { promisify } from "node:util";
import { NexusError, WireError } from "../base/errors.ts";
import { isHostShort, systemRefusal } from "../base/system-error.ts";
import type { DiskFormat } from "../spec/vm.ts";
import { isQcow2, qcow2HeaderBytes, readQcow2Header } from "./qcow2-header.ts";

/** A disk image that may lie below a guest's own layer. */
export type DiskFile = {
  format: DiskFormat;
  bytes: number;
  virtualBytes: number;
  /** Of the file as it was looked at. */ stat: BigIntStats;
};

/** What a file is by its first bytes. */
export type FileKind = DiskFormat | Packing | "foreign";
export type Packing = "gzip" | "zstd" | "xz" | "bzip2" | "zip";

export type DiskFileOptions = { imageTool: string; signal?: AbortSignal };

/**
 * Looks into a disk image: what it is, by its content, and that it is whole. One that names other files is refused: they would be
 * any file of the host its author liked to name.
 * @throws NexusError `image-missing`, `runtime-missing` without qemu-img; KernelError
 */
export async function examineDiskFile(path: string, options: DiskFileOptions): Promise<DiskFile> {
  await using file = await openRegular(path);
  const stat = await file.stat({ bigint: true });
  const start = await readStart(file, Math.min(Number(stat.size), qcow2HeaderBytes));
  const kind = kindOf(start);
  const bytes = Number(stat.size);
  switch (kind) {
    case "qcow2":
      return { format: "qcow2", bytes, virtualBytes: await checkQcow2(path, start, { bytes, ...options }), stat };
    case "raw":
      if (bytes < 512 || bytes % 512 !== 0)
        throw refused(path, `is no disk: it has ${bytes} bytes, and a disk has whole sectors of 512`, "give a qcow2 image or a raw disk");
      return { format: "raw", bytes, virtualBytes: bytes, stat };
    case "foreign":
      throw refused(path, "is a disk of a kind that is not read here", `convert it: qemu-img convert -O qcow2 ${path} disk.qcow2`);
    default:
      throw refused(path, `is packed with ${kind}`, "unpack it first");
  }
}

export async function fileKind(path: string): Promise<FileKind> {
  await using file = await openRegular(path);
  return kindOf(await readStart(file, 4096));
}

/** First bytes of what a disk image may be instead; a raw disk may begin with anything else. */
const signatures: readonly [FileKind, string][] = [
  ["gzip", "\x1f\x8b"],
  ["zstd", "\x28\xb5\x2f\xfd"],
  ["xz", "\xfd7zXZ\0"],
  ["bzip2", "BZh"],
  ["zip", "PK\x03\x04"],
  // VMDK (two kinds), VHDX, VHD, QED, Parallels, VDI, an encrypted disk.
  ["foreign", "KDMV"],
  ["foreign", "# Disk DescriptorFile"],
  ["foreign", "vhdxfile"],
  ["foreign", "conectix"],
  ["foreign", "QED\0"],
  ["foreign", "WithoutFreeSpace"],
  ["foreign", "<<< "],
  ["foreign", "LUKS\xba\xbe"],
];

function kindOf(start: Uint8Array): FileKind {
  if (isQcow2(start)) return "qcow2";
  const text = Buffer.from(start.buffer, start.byteOffset, Math.min(start.length, 64)).toString("latin1");
  return signatures.find(([, signature]) => text.startsWith(signature))?.[0] ?? "raw";
}

/** Gives the bytes of the disk in it. */
async function checkQcow2(path: string, start: Uint8Array, options: DiskFileOptions & { bytes: number }): Promise<number> {
  const header = headerOf(path, start);
  if (header.backing !== undefined)
    throw refused(
      path,
      `is a layer over ${header.backing}: an image must be whole`,
      `make it whole: qemu-img convert -O qcow2 ${path} whole.qcow2`,
    );
  if (header.externalData) throw refused(path, "keeps its data in another file: an image must be whole");
  if (header.encrypted) throw refused(path, "is encrypted, and nobody could give the guest its key");
  const said = await qemuImg(["check", "--output=json", "-f", "qcow2", path], path, options);
  const check = JSON.parse(said) as Record<string, unknown>;
  // What lies past the end is read as zeros; a whole image may lack the rest of its last cluster.
  const end = Number(check["image-end-offset"] ?? 0);
  if (end - options.bytes >= header.clusterBytes)
    throw refused(path, `is cut short: it has ${options.bytes} of ${end} bytes`, "fetch or copy it again");
  if (Number(check["corruptions"] ?? 0) > 0 || Number(check["check-errors"] ?? 0) > 0)
    throw refused(path, "is damaged: qemu-img finds errors in it", "fetch or copy it again");
  return header.virtualBytes;
}

function headerOf(path: string, start: Uint8Array): ReturnType<typeof readQcow2Header> {
  try {
    return readQcow2Header(start);
  } catch (error) {
    throw error instanceof WireError ? refused(path, `is no good qcow2 image: ${error.message}`) : error;
  }
}

/** Status 2 and 3 of `check` mean what its words say (qemu-img(1)). */
async function qemuImg(args: readonly string[], path: string, options: DiskFileOptions): Promise<string> {
  const { imageTool, signal } = options;
  try {
    const run = promisify(execFile)(imageTool, args, {
      timeout: 300_000,
      maxBuffer: 1 << 20,
      env: { PATH: process.env["PATH"], LC_ALL: "C" },
      ...(signal === undefined ? {} : { signal }),
    });
    return (await run).stdout;
  } catch (error) {
    signal?.throwIfAborted();
    const { code, stdout, stderr } = error as { code?: unknown; stdout?: string; stderr?: string };
    if (code === "ENOENT")
      throw new NexusError("runtime-missing", `${imageTool} is not installed`, { hint: "apt install qemu-utils", cause: error });
    if ((code === 2 || code === 3) && stdout !== undefined && stdout.startsWith("{")) return stdout;
    throw refused(path, `cannot be read: ${(stderr ?? String(error)).replaceAll("qemu-img: ", "").trim().slice(0, 500)}`, undefined, error);
  }
}

async function openRegular(path: string): Promise<FileHandle> {
  const file = await openFile(path);
  if ((await file.stat()).isFile()) return file;
  await file.close();
  throw refused(path, "is no regular file", "give a disk file; block devices go under disks");
}

/** Does not wait for the other end of a pipe. */
async function openFile(path: string): Promise<FileHandle> {
  try {
    return await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    if (isHostShort(error)) throw systemRefusal(error) ?? error;
    const code = (error as NodeJS.ErrnoException).code;
    throw refused(path, code === "ENOENT" ? "is not there" : `cannot be opened: ${code ?? String(error)}`, undefined, error);
  }
}

async function readStart(file: FileHandle, length: number): Promise<Uint8Array> {
  const buffer = new Uint8Array(length);
  const { bytesRead } = await file.read(buffer, 0, length, 0);
  return buffer.subarray(0, bytesRead);
}

function refused(path: string, problem: string, hint?: string, cause?: unknown): NexusError {
  return new NexusError("image-missing", `the disk image ${path} ${problem}`, { hint, cause });
}
