import { WireError } from "../base/errors.ts";
import { type Checksum, checksumOf } from "./checksum.ts";

/** A line of a publisher's list. Without a file it is the whole of a list that has only one. */
export type ListedChecksum = { file: string | undefined; checksum: Checksum };

/**
 * Reads what sha256sum(1) and sha512sum(1) write: `digits  file`, with `--tag` also `SHA256 (file) = digits`, or digits alone as
 * in a file beside each image. Lines of other kinds are left out: comments, signatures, weaker sums.
 */
export function parseChecksumList(text: string): ListedChecksum[] {
  return text.split(/\r?\n/).flatMap((line) => {
    const tagged = /^\\?SHA(?:256|512) ?\((.+)\) ?= ?([0-9a-fA-F]+)\s*$/.exec(line);
    const plain = /^\\?([0-9a-fA-F]+)(?:[ \t]+\*?(\S.*?))?\s*$/.exec(line);
    const [file, hex] = tagged === null ? [plain?.[2], plain?.[1]] : [tagged[1], tagged[2]];
    const checksum = checksumOf(hex ?? "");
    return checksum === undefined ? [] : [{ file, checksum }];
  });
}

/**
 * The strongest sum a list has for a file, by its name without directories. Undefined when it names none.
 * @throws WireError when it has two different ones of a kind
 */
export function findChecksum(list: readonly ListedChecksum[], file: string): Checksum | undefined {
  const named = list.filter((one) => one.file !== undefined && baseName(one.file) === file);
  const alone = list.length === 1 && list[0]?.file === undefined ? list : [];
  const found = (named.length > 0 ? named : alone).map((one) => one.checksum);
  for (const algorithm of ["sha512", "sha256"] as const) {
    const [first, ...others] = found.filter((checksum) => checksum.algorithm === algorithm);
    if (others.some((other) => other.hex !== first?.hex)) throw new WireError("checksums", `${file} is there twice with different sums`);
    if (first !== undefined) return first;
  }
  return undefined;
}

function baseName(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}
