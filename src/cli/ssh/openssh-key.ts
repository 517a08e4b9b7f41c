import { createPrivateKey, createPublicKey, randomBytes } from "node:crypto";
import { WireError } from "../../base/errors.ts";

/** An ed25519 key (RFC 8032): the secret seed and the public key, 32 bytes each. */
export type SshKey = { seed: Uint8Array; publicKey: Uint8Array; comment: string };

const kind = "ssh-ed25519";
const magic = Buffer.from("openssh-key-v1\0");
const [first, last] = ["-----BEGIN OPENSSH PRIVATE KEY-----", "-----END OPENSSH PRIVATE KEY-----"];

/** A line of authorized_keys (sshd(8)). */
export function publicLine(key: Pick<SshKey, "publicKey" | "comment">): string {
  const words = [kind, publicBlob(key).toString("base64"), key.comment.replaceAll(/\p{Cc}/gu, " ")];
  return words.join(" ").trim();
}

/** What ssh-keygen writes without a passphrase (OpenSSH, PROTOCOL.key). Its check numbers are random: no two texts are alike. */
export function formatPrivateKey(key: SshKey): string {
  const check = randomBytes(4);
  const secret = Buffer.concat([
    check,
    check,
    text(kind),
    text(key.publicKey),
    text(Buffer.concat([key.seed, key.publicKey])),
    text(key.comment),
  ]);
  const padding = Buffer.from(Array.from({ length: -secret.length & 7 }, (_, i) => i + 1));
  const count = Buffer.of(0, 0, 0, 1);
  const body = Buffer.concat([
    magic,
    text("none"),
    text("none"),
    text(""),
    count,
    text(publicBlob(key)),
    text(Buffer.concat([secret, padding])),
  ]);
  const lines = body.toString("base64").match(/.{1,70}/g) ?? [];
  return `${[first, ...lines, last].join("\n")}\n`;
}

/** Reads such a key back. @throws WireError when it is no ed25519 key without a passphrase, or damaged */
export function readPrivateKey(file: string): SshKey {
  const match = /^-----BEGIN OPENSSH PRIVATE KEY-----\s([A-Za-z0-9+/=\s]+)-----END OPENSSH PRIVATE KEY-----\s*$/.exec(file);
  if (match === null) throw fault("it is no OpenSSH private key");
  const outer = new Reader(Buffer.from(match[1] ?? "", "base64"));
  if (!outer.take(magic.length).equals(magic)) throw fault("it is no OpenSSH private key");
  if (outer.text().toString() !== "none" || outer.text().toString() !== "none") throw fault("it has a passphrase");
  outer.text();
  if (outer.number() !== 1) throw fault("it holds more than one key");
  outer.text();
  const inner = new Reader(outer.text());
  if (!inner.take(4).equals(inner.take(4))) throw fault("it is damaged");
  if (inner.text().toString() !== kind) throw fault("it is of another kind than ed25519");
  const publicKey = inner.text();
  const both = inner.text();
  const comment = inner.text().toString("utf8");
  const seed = both.subarray(0, 32);
  if (both.length !== 64 || !both.subarray(32).equals(publicKey) || !publicOf(seed).equals(publicKey))
    throw fault("its two halves do not belong together");
  return { seed, publicKey, comment };
}

/** PKCS #8 for ed25519 is these bytes and the seed (RFC 8410 §7). */
const pkcs8 = Buffer.from("302e020100300506032b657004220420", "hex");

function publicOf(seed: Uint8Array): Buffer {
  const key = createPrivateKey({ key: Buffer.concat([pkcs8, seed]), format: "der", type: "pkcs8" });
  return Buffer.from(createPublicKey(key).export({ format: "jwk" }).x ?? "", "base64url");
}

function publicBlob(key: Pick<SshKey, "publicKey">): Buffer {
  return Buffer.concat([text(kind), text(key.publicKey)]);
}

/** A length of four bytes and the bytes (RFC 4251 §5, string). */
function text(content: string | Uint8Array): Buffer {
  const bytes = Buffer.from(content as string);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
}

class Reader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  take(length: number): Buffer {
    const end = this.#at + length;
    if (end > this.#bytes.length) throw fault("it is cut short", this.#bytes.length);
    const piece = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return piece;
  }

  number(): number {
    return this.take(4).readUInt32BE();
  }

  text(): Buffer {
    return this.take(this.number());
  }
}

function fault(problem: string, offset?: number): WireError {
  return new WireError("ssh key", problem, offset);
}
