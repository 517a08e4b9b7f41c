import koffi from "koffi";
import { kernelRefusal } from "./errno.ts";
import { lastErrno, libc } from "./libc.ts";
import { memoryFile } from "./pipe.ts";

/** Reads the time stamp counter of an x64 processor, which neither Node nor the C library does; undefined on others. @throws KernelError */
export function openTimeStamp(): (Disposable & { read: () => bigint }) | undefined {
  if (process.arch !== "x64") return undefined;
  using file = memoryFile("time-stamp", instructions);
  const address = BigInt(libc().mmap(null, instructions.length, readAndExecute, mapPrivate, file.number, 0));
  if (address === failed) throw kernelRefusal("map the instruction that reads the time stamp counter", lastErrno());
  const read = koffi.decode(address, koffi.proto("uint64_t ()")) as () => number | bigint;
  return {
    read: () => BigInt(read()),
    [Symbol.dispose]: () => void libc().munmap(address, instructions.length),
  };
}

/** rdtsc; shl rdx, 32; or rax, rdx; ret */
const instructions = Uint8Array.fromHex("0f3148c1e2204809d0c3");
const readAndExecute = 1 | 4;
const mapPrivate = 2;
const failed = 0xffff_ffff_ffff_ffffn;
