import { existsSync, lstatSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { NexusError } from "../base/errors.ts";
import { resolveInside } from "../kernel/inside.ts";

/** One thing a sandbox's root directory consists of; everything is read-only. Targets are absolute. */
export type RootEntry =
  | { kind: "tree"; source: string; target: string }
  | { kind: "link"; to: string; target: string }
  | { kind: "file"; text: string; target: string };

/** Who a command is inside, whoever it is outside. */
export const sandboxUser = { uid: 1000, gid: 1000, name: "sandbox", home: "/home/sandbox" } as const;

/** What a root file system never brings along: the kernel's file systems, what is written to, and where users' files would be. */
export const ownDirectories: ReadonlySet<string> = new Set([
  "dev",
  "home",
  "proc",
  "root",
  "run",
  "sys",
  "tmp",
  "mnt",
  "media",
  "boot",
  "lost+found",
]);

/**
 * The host's programs, and of its configuration only what they need to run: no user, no name and no secret of the host.
 * A host may keep /bin and the like as links into /usr, or as directories.
 */
export function hostRoot(): RootEntry[] {
  const shared = [
    "ssl",
    "ca-certificates",
    "ca-certificates.conf",
    "pki",
    "crypto-policies",
    "alternatives",
    "fonts",
    "ld.so.conf",
    "ld.so.conf.d",
  ];
  const links: RootEntry[] = [
    { kind: "link", to: "../tmp", target: "/var/tmp" },
    { kind: "link", to: "../run", target: "/var/run" },
  ];
  return [...hostPrograms(), ...shared.flatMap((name) => entryOf("/etc", name)), ...identityFiles(), ...links];
}

/** What it takes to run a program of the host. */
export function hostPrograms(): RootEntry[] {
  const directories = ["usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "nix"];
  return [...directories.flatMap((name) => entryOf("/", name)), ...linkerCache("/etc/ld.so.cache")];
}

/** A directory that holds a root file system. @throws NexusError `wrong-state` when it has nothing that could hold a shell, which every sandbox starts by */
export function directoryRoot(directory: string): RootEntry[] {
  const top = readdirSync(directory).filter((name) => !leftOut.has(name));
  const entries = top.flatMap((name) => entryOf(directory, name, "/"));
  if (!entries.some((entry) => /^\/(bin|usr)$/.test(entry.target))) {
    throw new NexusError("wrong-state", `${directory} holds no root file system: it has neither /bin nor /usr`);
  }
  const replaced = new Set(identityFiles().map((entry) => entry.target));
  // It may be a link, which must not lead to the host's own.
  const etc = resolveInside(directory, "/etc");
  const names = etc?.stat?.isDirectory() === true ? readdirSync(etc.path) : [];
  const kept = names.filter((name) => !replaced.has(`/etc/${name}`)).flatMap((name) => entryOf(etc?.path ?? "", name, "/etc"));
  return [...entries, ...kept, ...identityFiles()];
}

/** Of a root directory's top: /etc is taken apart, and /workspace is where a run's own directory is. */
const leftOut: ReadonlySet<string> = new Set([...ownDirectories, "etc", "workspace"]);

/** `/etc` files that say who and where the command is. No resolver: names are the proxy's business. */
function identityFiles(): RootEntry[] {
  const { uid, gid, name, home } = sandboxUser;
  const file = (target: string, text: string): RootEntry => ({ kind: "file", target, text });
  return [
    file(
      "/etc/passwd",
      `root:x:0:0:root:/root:/bin/sh\n${name}:x:${uid}:${gid}:${name}:${home}:/bin/sh\nnobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n`,
    ),
    file("/etc/group", `root:x:0:\ntty:x:5:\n${name}:x:${gid}:\nnogroup:x:65534:\n`),
    file("/etc/hosts", "127.0.0.1 localhost sandbox\n::1 localhost\n"),
    file("/etc/hostname", "sandbox\n"),
    file("/etc/resolv.conf", ""),
    file("/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\nservices: files\nprotocols: files\n"),
  ];
}

function entryOf(directory: string, name: string, target = directory): RootEntry[] {
  const path = join(directory, name);
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return [];
  if (stat.isSymbolicLink()) return [{ kind: "link", to: readlinkSync(path), target: join(target, name) }];
  return stat.isDirectory() || stat.isFile() ? [{ kind: "tree", source: path, target: join(target, name) }] : [];
}

/** A copy: packages replace the file by another, and a mount would keep the old one. */
function linkerCache(path: string): RootEntry[] {
  return existsSync(path) ? [{ kind: "file", target: path, text: readFileSync(path, "latin1") }] : [];
}
