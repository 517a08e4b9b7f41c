import { realpathSync, type Stats, statSync } from "node:fs";
import { basename } from "node:path";
import { NexusError } from "../base/errors.ts";
import { formatChecksum } from "../images/checksum.ts";
import type { RootfsSource } from "../images/sandbox-rootfs.ts";
import type { Config } from "../spec/config.ts";
import { readRootfs } from "../spec/rootfs.ts";

export type Archive = Extract<RootfsSource, { kind: "archive" | "url" }>;

/** What a text means on this host. @throws NexusError `image-missing` */
export function sourceOf(text: string, wanted: Config["sandbox"], arch: string = process.arch): RootfsSource {
  const read = readRootfs(text);
  if (typeof read === "string") throw refused(`${text}: ${read}`);
  switch (read.kind) {
    case "host":
      return read;
    case "url":
      return read;
    case "path":
      return onThisHost(read.path);
    case "auto": {
      const key = `rootfs_${arch === "x64" ? "amd64" : arch}`;
      const address = Object.entries(wanted).find(([name, value]) => name === key && value !== "none")?.[1];
      if (address !== undefined) return sourceOf(address, wanted, arch);
      throw refused(
        "the root file system of untrusted commands is auto, and no address is set for it",
        `nexus config set sandbox.${key} URL#sha256:DIGITS`,
      );
    }
  }
}

function onThisHost(path: string): RootfsSource {
  let real: string;
  let stat: Stats;
  try {
    real = realpathSync(path);
    stat = statSync(real);
  } catch (error) {
    throw refused(`the root file system ${path} cannot be used: ${(error as NodeJS.ErrnoException).code}`, forms, error);
  }
  if (real === "/")
    throw refused(
      "the host's own root directory cannot be the root file system of untrusted commands",
      "`host` gives them the host's programs, and no more of it",
    );
  if (stat.isDirectory()) return { kind: "directory", path: real };
  if (stat.isFile()) return { kind: "archive", path: real };
  throw refused(`the root file system ${path} is neither a directory nor an archive`, forms);
}

/** An archive that was written anew is another one. */
export function keyOf(source: RootfsSource): string {
  switch (source.kind) {
    case "host":
      return "host";
    case "directory":
      return source.path;
    case "archive": {
      const stat = statSync(source.path, { throwIfNoEntry: false });
      return [source.path, stat?.dev, stat?.ino, stat?.size, stat?.mtimeMs].join(" ");
    }
    case "url":
      return `${source.url}#${formatChecksum(source.checksum)}`;
  }
}

export function shortName(source: Archive): string {
  return source.kind === "url" ? source.url : source.path;
}

/** With the sum of what it was made from, which is the directory's name. */
export function nameOf(source: Archive, directory: string): string {
  return `${shortName(source)}#${basename(directory).replace("-", ":")}`;
}

function refused(problem: string, hint: string = forms, cause?: unknown): NexusError {
  return new NexusError("image-missing", problem, { hint, cause });
}

const forms = "give host, a directory, an archive, or an address with its sum: URL#sha256:DIGITS";
