import { NexusError } from "../base/errors.ts";

/** What a file must hash to: `sha256:` or `sha512:` and lower-case hexadecimal digits. */
export type Checksum = { algorithm: ChecksumAlgorithm; hex: string };

export type ChecksumAlgorithm = "sha256" | "sha512";

/** Hexadecimal digits of each. */
const digits: Record<ChecksumAlgorithm, number> = { sha256: 64, sha512: 128 };

/** @throws NexusError `usage` */
export function parseChecksum(text: string): Checksum {
  const [, algorithm, hex = ""] = /^(sha256|sha512):([0-9a-fA-F]*)$/.exec(text) ?? [];
  if (algorithm === undefined)
    throw new NexusError("usage", `"${text.slice(0, 200)}" is no checksum`, { hint: "sha256: or sha512:, then hexadecimal digits" });
  const checksum = checksumOf(hex);
  if (checksum?.algorithm !== algorithm)
    throw new NexusError(
      "usage",
      `a ${algorithm} checksum has ${digits[algorithm as ChecksumAlgorithm]} hexadecimal digits, not ${hex.length}`,
    );
  return checksum;
}

/** The checksum that bare digits are, known by their number. */
export function checksumOf(hex: string): Checksum | undefined {
  if (!/^[0-9a-fA-F]+$/.test(hex)) return undefined;
  const algorithm = hex.length === digits.sha256 ? "sha256" : hex.length === digits.sha512 ? "sha512" : undefined;
  return algorithm === undefined ? undefined : { algorithm, hex: hex.toLowerCase() };
}

export function formatChecksum(checksum: Checksum): string {
  return `${checksum.algorithm}:${checksum.hex}`;
}
