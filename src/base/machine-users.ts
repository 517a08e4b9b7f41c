/**
 * The users of the host that virtual machines of root's daemon run as, a block that one mask tells. Above what systems give to people,
 * services and containers, below what sandboxes have (src/guests/bubblewrap-owner.ts), and in what is a gid too.
 */
export const machineUsers = { first: 0x7d00_0000, mask: 0xff80_0000, count: 0x80_0000 } as const;
