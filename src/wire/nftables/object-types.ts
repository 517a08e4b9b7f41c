/** NFT_OBJECT_*: the stateful objects we use. */
export const objectTypes = { counter: 1 } as const;
