/** Disks a virtual machine has beside those it is given: its own, and what it is set up with. */
export const ownDisks: readonly string[] = ["root", "cidata"];
