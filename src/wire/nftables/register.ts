/** Register numbers: the kernel has 16 words of 4 bytes, and prints those at a multiple of 16 bytes by their old 16-byte number. */

/** The number of the register that starts at a byte offset (a multiple of 4, 0-60), as nft and the kernel write it. */
export function registerAt(offset: number): number {
  return offset % 16 === 0 ? 1 + offset / 16 : 8 + offset / 4;
}
