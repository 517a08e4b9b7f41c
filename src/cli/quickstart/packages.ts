import { closeSync, existsSync, openSync, readSync } from "node:fs";
import { findProgram } from "./programs.ts";

/** A Debian package the example cannot do without, and how it is known to be there. */
type Need = { package: string; for: string; find: (path: string) => string | undefined };

const machines: readonly Need[] = [
  { package: "qemu-system-x86", for: "running virtual machines", find: (path) => findProgram("qemu-system-x86_64", path) },
  { package: "qemu-utils", for: "their disks", find: (path) => findProgram("qemu-img", path) },
];

const needs: readonly Need[] = [
  {
    package: "busybox-static",
    for: "the nodes' programs",
    find: () => ["/bin/busybox", "/usr/bin/busybox"].find((file) => existsSync(file) && isStatic(file)),
  },
  { package: "crun", for: "running containers", find: (path) => findProgram("crun", path) ?? findProgram("runc", path) },
  { package: "bubblewrap", for: "sandboxes", find: (path) => findProgram("bwrap", path) },
  ...(process.arch === "x64" ? machines : []),
  { package: "iproute2", for: "looking from outside: ip", find: (path) => findProgram("ip", path) },
  { package: "iputils-ping", for: "looking from outside: ping", find: (path) => findProgram("ping", path) },
];

export type Inventory = { present: { package: string; at: string }[]; missing: { package: string; for: string }[] };

/** Looks for the programs themselves, since they may come from elsewhere than Debian's packages. `path` as in PATH. */
export function lookForPackages(path: string): Inventory {
  const found: Inventory = { present: [], missing: [] };
  for (const need of needs) {
    const at = need.find(path);
    if (at === undefined) found.missing.push({ package: need.package, for: need.for });
    else found.present.push({ package: need.package, at });
  }
  return found;
}

/** Whether an ELF program runs without the host's libraries, which a node's root file system lacks: it names no loader (elf(5), PT_INTERP). */
export function isStatic(file: string): boolean {
  const head = Buffer.alloc(4096);
  const descriptor = openSync(file, "r");
  try {
    readSync(descriptor, head, 0, head.length, 0);
  } finally {
    closeSync(descriptor);
  }
  const isElf64 = head.readUInt32BE(0) === 0x7f454c46 && head[4] === 2;
  if (!isElf64) return false;
  const start = Number(head.readBigUInt64LE(32));
  const [size, count] = [head.readUInt16LE(54), head.readUInt16LE(56)];
  if (size < 4 || start + size * count > head.length) return false;
  return !Array.from({ length: count }, (_, i) => head.readUInt32LE(start + i * size)).includes(programInterpreter);
}

const programInterpreter = 3;
