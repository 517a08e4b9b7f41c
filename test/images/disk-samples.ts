import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export function qemuImg(...args: string[]): string {
  return execFileSync("qemu-img", args, { encoding: "utf8" });
}

/** A whole qcow2 image of a disk of one MiB with random content. */
export function qcow2Bytes(): Buffer {
  const directory = mkdtempSync(join(tmpdir(), "nexus-qcow2-"));
  try {
    writeFileSync(join(directory, "raw"), randomBytes(1 << 20));
    qemuImg("convert", "-f", "raw", "-O", "qcow2", join(directory, "raw"), join(directory, "disk"));
    return readFileSync(join(directory, "disk"));
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
