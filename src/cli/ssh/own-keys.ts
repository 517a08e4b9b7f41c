import { createHash } from "node:crypto";
import { existsSync, readFileSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import type { Io } from "../context.ts";
import { NexusError } from "../../base/errors.ts";
import { ownKeyComment } from "../../spec/vm-setup.ts";
import { ensureSshKey, type SshKeyFiles } from "./key-files.ts";

/**
 * The caller's key for the virtual machines of a project's directory, or for those of no project; made when there is none. It is among
 * the caller's own files: the daemon never sees the private half.
 */
export function ownSshKey(io: Pick<Io, "env">, projectDirectory?: string): SshKeyFiles {
  return ensureSshKey(keyDirectory(io, projectDirectory), ownKeyComment);
}

/** The private key for a guest, by its labels; undefined when the caller has none. */
export function ownSshKeyPath(io: Pick<Io, "env">, labels: Readonly<Record<string, string>>): string | undefined {
  const path = join(keyDirectory(io, labels["nexus.directory"]), "id_ed25519");
  return existsSync(path) ? path : undefined;
}

/** The caller's own files, root's too, which are none of the daemon's (XDG base directories). */
export function ownStateDirectory({ env }: Pick<Io, "env">): string {
  const given = env["XDG_STATE_HOME"];
  return join(given?.startsWith("/") === true ? given : join(env["HOME"] ?? "/", ".local/state"), "nexus");
}

function keyDirectory(io: Pick<Io, "env">, projectDirectory: string | undefined): string {
  const ssh = join(ownStateDirectory(io), "ssh");
  if (projectDirectory === undefined) return ssh;
  return join(ssh, "projects", createHash("sha256").update(projectDirectory).digest("hex").slice(0, 32));
}

/** The public keys of a file like id_ed25519.pub or authorized_keys. @throws NexusError not-found, usage */
export function publicKeysOf(file: string): string[] {
  const path = resolve(file);
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined) throw new NexusError("not-found", `there is no file ${path}`);
  if (!stat.isFile() || stat.size > largestFile) throw new NexusError("usage", `${path} is no file of public keys`);
  const text = readFileSync(path, "utf8");
  if (text.includes("PRIVATE KEY"))
    throw new NexusError("usage", `${path} is a private key, which stays where it is`, { hint: `give the public one: ${path}.pub` });
  const lines = text
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "" && !line.startsWith("#"));
  if (lines.length === 0) throw new NexusError("usage", `${path} has no public key in it`);
  return lines;
}

const largestFile = 1024 * 1024;
