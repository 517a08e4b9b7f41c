import { WireError } from "../base/errors.ts";

/** What concerns us of a qcow2 image's header. */
export type Qcow2Header = {
  version: number;
  virtualBytes: number;
  clusterBytes: number;
  /** The file below it, which QEMU would open for the guest. */
  backing: string | undefined;
  /** The data lies in another file, which QEMU would open too. */
  externalData: boolean;
  encrypted: boolean;
};

/** "QFI" and 0xfb. */
const magic = 0x514649fb;

/** Enough of the file for `readQcow2Header`: names it has in it lie within the first cluster, of at most 2 MiB. */
export const qcow2HeaderBytes = 2 << 20;

export function isQcow2(bytes: Uint8Array): boolean {
  return bytes.length >= 4 && Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).readUInt32BE(0) === magic;
}

/**
 * Reads a header (QEMU docs/interop/qcow2.rst) without QEMU: a hostile one makes some versions open what it names even to describe it.
 * @throws WireError
 */
export function readQcow2Header(bytes: Uint8Array): Qcow2Header {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  if (!isQcow2(bytes)) throw new WireError("qcow2", "it does not begin as a qcow2 image", 0);
  if (view.length < 72) throw new WireError("qcow2", "its header is cut short", view.length);
  const version = view.readUInt32BE(4);
  if (version !== 2 && version !== 3) throw new WireError("qcow2", `version ${version} is not known`, 4);
  if (version === 3 && view.length < 104) throw new WireError("qcow2", "its header is cut short", view.length);
  const incompatible = version === 3 ? view.readBigUInt64BE(72) : 0n;
  const virtualBytes = view.readBigUInt64BE(24);
  if (virtualBytes > BigInt(Number.MAX_SAFE_INTEGER)) throw new WireError("qcow2", "its disk is impossibly large", 24);
  const clusterBits = view.readUInt32BE(20);
  if (clusterBits < 9 || clusterBits > 21) throw new WireError("qcow2", `clusters of 2^${clusterBits} bytes are not known`, 20);
  return {
    version,
    virtualBytes: Number(virtualBytes),
    clusterBytes: 2 ** clusterBits,
    backing: backingOf(view),
    externalData: (incompatible & externalDataBit) !== 0n,
    encrypted: view.readUInt32BE(32) !== 0,
  };
}

const externalDataBit = 1n << 2n;

function backingOf(view: Buffer): string | undefined {
  const offset = view.readBigUInt64BE(8);
  const length = view.readUInt32BE(16);
  if (offset === 0n) return undefined;
  if (offset + BigInt(length) > BigInt(view.length))
    throw new WireError("qcow2", "the name of its backing file lies outside its header", 8);
  return view.toString("utf8", Number(offset), Number(offset) + length);
}
