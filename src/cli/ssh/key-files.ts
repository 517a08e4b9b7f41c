import { generateKeyPairSync, randomBytes } from "node:crypto";
import {
  chmodSync,
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { NexusError, WireError } from "../../base/errors.ts";
import { systemRefusal } from "../../base/system-error.ts";
import { formatPrivateKey, publicLine, readPrivateKey, type SshKey } from "./openssh-key.ts";

/** A key pair on disk. */
export type SshKeyFiles = {
  /** OpenSSH's own format, 0600, without a passphrase. */
  privatePath: string;
  publicPath: string;
  /** As it goes into authorized_keys: kind, base64, comment. */
  publicLine: string;
};

/**
 * The ed25519 key pair of a directory, made when there is none: `id_ed25519` and `id_ed25519.pub`. The private key decides: the
 * public one is written again when it is gone or another. Two processes at once end up with the same pair.
 * @throws NexusError `state-corrupt` when the private key cannot be read; KernelError
 */
export function ensureSshKey(directory: string, comment: string): SshKeyFiles {
  const privatePath = join(directory, "id_ed25519");
  const publicPath = `${privatePath}.pub`;
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    const key = read(privatePath) ?? make(privatePath, comment);
    const line = publicLine(key);
    if (textOf(publicPath) !== `${line}\n`) replaceFile(publicPath, `${line}\n`);
    return { privatePath, publicPath, publicLine: line };
  } catch (error) {
    throw systemRefusal(error, `keep an SSH key in ${directory}`) ?? error;
  }
}

/** Undefined when there is none. ssh refuses a private key that others may read: it is made private again. */
function read(path: string): SshKey | undefined {
  const fd = openFile(path);
  if (fd === undefined) return undefined;
  try {
    if ((fstatSync(fd).mode & 0o077) !== 0) fchmodSync(fd, 0o600);
    return readPrivateKey(readFileSync(fd, "utf8"));
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    throw new NexusError("state-corrupt", `the SSH key ${path} cannot be read: ${error.message}`, {
      hint: "remove it to have a new one made; guests that know the old one must be made anew",
      cause: error,
    });
  } finally {
    closeSync(fd);
  }
}

function make(path: string, comment: string): SshKey {
  const { privateKey } = generateKeyPairSync("ed25519");
  const { d, x } = privateKey.export({ format: "jwk" });
  const key: SshKey = { seed: Buffer.from(d ?? "", "base64url"), publicKey: Buffer.from(x ?? "", "base64url"), comment };
  const temporary = `${path}.${randomBytes(6).toString("hex")}`;
  writeFileSync(temporary, formatPrivateKey(key), { mode: 0o600, flag: "wx", flush: true });
  chmodSync(temporary, 0o600);
  try {
    // A link, unlike a rename, does not replace the key that another process made first.
    linkSync(temporary, path);
    return key;
  } catch (error) {
    const other = (error as NodeJS.ErrnoException).code === "EEXIST" ? read(path) : undefined;
    if (other === undefined) throw error;
    return other;
  } finally {
    rmSync(temporary, { force: true });
  }
}

function openFile(path: string): number | undefined {
  try {
    return openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

function textOf(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}

function replaceFile(path: string, text: string): void {
  const temporary = `${path}.${randomBytes(6).toString("hex")}`;
  writeFileSync(temporary, text, { mode: 0o644, flag: "wx", flush: true });
  renameSync(temporary, path);
}
