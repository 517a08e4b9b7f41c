import { createReadStream } from "node:fs";
import { open } from "node:fs/promises";
import { pipeline } from "node:stream";
import { createGunzip, createZstdDecompress } from "node:zlib";
import { NexusError } from "../base/errors.ts";
import { isHostShort, systemRefusal } from "../base/system-error.ts";
import { writeAt } from "./write-file.ts";

export type UnpackFileOptions = { packing: "gzip" | "zstd"; maxBytes: number; signal: AbortSignal; progress: (bytes: number) => void };

/**
 * Unpacks a file into a new one, leaving holes where it has only zeros, as raw disks mostly do. Bytes are on the disk when it returns.
 * @throws NexusError `image-missing` when it is damaged, `too-large`; KernelError when the disk fails; the signal's reason
 */
export async function unpackFile(from: string, to: string, options: UnpackFileOptions): Promise<void> {
  const unpacker = options.packing === "gzip" ? createGunzip() : createZstdDecompress();
  // Its error is thrown below, where the unpacked bytes are read.
  pipeline(createReadStream(from, { highWaterMark: 1 << 18 }), unpacker, () => undefined);
  await using file = await open(to, "wx", 0o600);
  let size = 0;
  try {
    for await (const chunk of unpacker) {
      options.signal.throwIfAborted();
      const piece = chunk as Uint8Array;
      if (size + piece.length > options.maxBytes)
        throw new NexusError("too-large", `${from} unpacks to more than ${options.maxBytes} bytes`);
      if (!isZero(piece)) await writeAt(file, piece, size);
      size += piece.length;
      options.progress(size);
    }
  } catch (error) {
    options.signal.throwIfAborted();
    if (error instanceof NexusError) throw error;
    if (isHostShort(error)) throw systemRefusal(error, `unpack into ${to}`) ?? error;
    throw new NexusError("image-missing", `${from} is no whole ${options.packing} file: ${(error as Error).message}`, { cause: error });
  }
  await file.truncate(size);
  await file.sync();
}

const zeros = Buffer.alloc(1 << 16);

function isZero(piece: Uint8Array): boolean {
  for (let at = 0; at < piece.length; at += zeros.length) {
    const part = piece.subarray(at, at + zeros.length);
    if (zeros.compare(part, 0, part.length, 0, part.length) !== 0) return false;
  }
  return true;
}
