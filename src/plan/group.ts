/** Every link of ours carries link group 0x4e000000 | network index: one mask finds them all, one number those of a network. */
export const groupBase = 0x4e000000;
export const groupMask = 0xff000000;

export function groupOf(networkIndex: number): number {
  return groupBase + networkIndex;
}

export function isOurGroup(group: number): boolean {
  return group >= groupBase && group < groupBase + 0x01000000;
}
