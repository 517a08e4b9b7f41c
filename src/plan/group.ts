/** Every link of ours carries link group 0x4e000000 | network index: one mask finds them all, one number those of a network. */
export const groupBase = 0x4e000000;
export const groupMask = 0xff000000;

/** @throws RangeError unless the index is 1 to 0xffffff */
export function groupOf(networkIndex: number): number {
  if (!Number.isInteger(networkIndex) || networkIndex < 1 || networkIndex > 0xffffff)
    throw new RangeError(`no network index: ${networkIndex}`);
  return groupBase + networkIndex;
}

export function isOurGroup(group: number): boolean {
  return group > groupBase && group < groupBase + 0x01000000;
}
