import { spawnSync } from "node:child_process";
import { globSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { zstdDecompressSync } from "node:zlib";
import { NexusError } from "../base/errors.ts";

/** A kernel module, unpacked. */
export type KernelModule = { name: string; content: Uint8Array };

/**
 * The wanted modules and all they depend on, each after those it needs: the order to insert them in. One that is not below
 * `directory` is taken to be built into the kernel. Dependencies are read from the modules, so depmod(8) need not have run.
 */
export function modulesInOrder(directory: string, wanted: readonly string[]): KernelModule[] {
  const files = new Map<string, string>();
  for (const path of globSync("**/*.ko{,.xz,.zst}", { cwd: directory })) files.set(moduleName(path), join(directory, path));
  const ordered: KernelModule[] = [];
  const begun = new Set<string>();
  const visit = (name: string): void => {
    const file = files.get(name);
    if (file === undefined || begun.has(name)) return;
    begun.add(name);
    const content = unpackModule(file);
    for (const other of dependenciesOf(content)) visit(other);
    ordered.push({ name, content: withoutSignature(content) });
  };
  for (const name of wanted) visit(moduleName(name));
  return ordered;
}

/** Names in a module's `depends=` line of its .modinfo section (scripts/mod/modpost.c). */
export function dependenciesOf(module: Uint8Array): string[] {
  const bytes = Buffer.from(module.buffer, module.byteOffset, module.length);
  const at = bytes.indexOf("\0depends=");
  if (at < 0) return [];
  const from = at + "\0depends=".length;
  const line = bytes.subarray(from, bytes.indexOf(0, from)).toString("latin1");
  return line === "" ? [] : line.split(",").map(moduleName);
}

/** The kernel takes - and _ for the same. */
function moduleName(path: string): string {
  return basename(path)
    .replace(/\.ko(\.xz|\.zst)?$/, "")
    .replaceAll("-", "_");
}

function unpackModule(file: string): Uint8Array {
  const bytes = readFileSync(file);
  if (file.endsWith(".zst")) return zstdDecompressSync(bytes);
  if (!file.endsWith(".xz")) return bytes;
  const xz = spawnSync("xz", ["-dc"], { input: bytes, maxBuffer: 64 * 1024 * 1024, timeout: 30_000 });
  if (xz.status !== 0)
    throw new NexusError("runtime-missing", `cannot unpack ${basename(file)}: xz failed`, { hint: "apt install xz-utils" });
  return xz.stdout;
}

/**
 * Checking a signature costs an emulated processor milliseconds for each module, and the archive around it is not signed anyway.
 * The signature is at the end, its length in the struct before the marker (include/linux/module_signature.h).
 */
function withoutSignature(module: Uint8Array): Uint8Array {
  const marker = "~Module signature appended~\n";
  const end = module.length - marker.length;
  if (end < 12 || Buffer.from(module.subarray(end)).toString("latin1") !== marker) return module;
  const length = new DataView(module.buffer, module.byteOffset + end - 4, 4).getUint32(0);
  return length + 12 <= end ? module.subarray(0, end - 12 - length) : module;
}
