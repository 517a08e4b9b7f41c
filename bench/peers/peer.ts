import { runOrThrow } from "../program.ts";

/** Another program that attaches containers to a network. Every slot is one container with one published port. */
export type Peer = {
  name: string;
  /** Milliseconds the peer's own processes took; the namespace was there before. */
  attach(slot: number): number;
  detach(slot: number): number;
};

/** The namespace a slot of a peer lives in; made and removed outside of what is measured. */
export function makeNetns(peer: string, slot: number): string {
  const name = netnsName(peer, slot);
  runOrThrow("ip", ["netns", "add", name]);
  return `/run/netns/${name}`;
}

export function removeNetns(peer: string, slot: number): void {
  runOrThrow("ip", ["netns", "del", netnsName(peer, slot)]);
}

/** 10.SECOND.0.0/16 has room for every slot: 0 is .0.2. */
export function slotAddress(second: number, slot: number): string {
  const n = slot + 2;
  return `10.${second}.${n >> 8}.${n & 255}`;
}

function netnsName(peer: string, slot: number): string {
  return `${peer}-${slot}`;
}
