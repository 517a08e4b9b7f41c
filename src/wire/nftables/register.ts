/** Register numbers: the kernel has 16 words of 4 bytes, and prints those at a multiple of 16 bytes by their old 16-byte number. */

/** The number of the register that starts at a byte offset (a multiple of 4, 0-60), as nft and the kernel write it. */
export function registerAt(offset: number): number {
  return offset % 16 === 0 ? 1 + offset / 16 : 8 + offset / 4;
}

/** The byte offset of a register number; undefined for the verdict register and numbers that do not exist. */
export function registerOffset(register: number): number | undefined {
  if (register >= 1 && register <= 4) return (register - 1) * 16;
  return register >= 8 && register <= 23 ? (register - 8) * 4 : undefined;
}
