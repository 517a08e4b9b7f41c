import * as fs from "node:fs";
import type { IfName } from "../base/names.ts";
import { kernelRefusal } from "./errno.ts";
import { type Fd, openFile } from "./fd.ts";
import { checked, lastErrno, libc } from "./libc.ts";

/** include/uapi/linux/if_tun.h */
const request = { set: 0x400454ca, setPersist: 0x400454cb, setOwner: 0x400454cc, setGroup: 0x400454ce, setHeaderSize: 0x400454d8 } as const;
const flag = { tap: 0x2, multiQueue: 0x100, noPacketInfo: 0x1000, vnetHeader: 0x4000, exclusive: 0x8000 } as const;
const nameBytes = 16;

/** A tap and the descriptor of one of its queues. Without `persist` the link goes when the last descriptor is closed. */
export type Tap = { fd: Fd; name: string };

export type TapRequest = {
  /** May hold "%d", which the kernel numbers. */
  name: IfName | "nexus%d";
  /** Every queue of one tap must agree on both of these, and the guest's side too. */
  multiQueue: boolean;
  vnetHeader: boolean;
  /** Refuse a link that exists, instead of opening a further queue of it. */
  create: boolean;
  persist?: boolean;
  /** Numeric ids that may open the tap without CAP_NET_ADMIN. */
  owner?: number;
  group?: number;
};

/** The name comes back from the kernel. @throws KernelError */
export function openTap(tap: TapRequest): Tap {
  using stack = new DisposableStack();
  const { O_RDWR, O_NONBLOCK } = fs.constants;
  const fd = stack.use(openFile("/dev/net/tun", O_RDWR | O_NONBLOCK));
  const name = joinTap(fd, tap);
  stack.move();
  return { fd, name };
}

/** Makes an open /dev/net/tun a queue of a tap: a new one, or one whose link was deleted. Gives the tap's name. @throws KernelError; EEXIST when it is a queue already */
export function joinTap(fd: Fd, tap: TapRequest): string {
  const ifreq = new Uint8Array(40);
  ifreq.set(new TextEncoder().encode(tap.name));
  const flags =
    flag.tap |
    flag.noPacketInfo |
    (tap.multiQueue ? flag.multiQueue : 0) |
    (tap.vnetHeader ? flag.vnetHeader : 0) |
    (tap.create ? flag.exclusive : 0);
  new DataView(ifreq.buffer).setUint16(nameBytes, flags, true);
  if (libc().ioctl(fd.number, request.set, ifreq) !== 0) {
    const errno = lastErrno();
    throw kernelRefusal(`open tap ${tap.name}`, errno, { hint: hints[errno] });
  }
  const name = new TextDecoder().decode(ifreq.subarray(0, ifreq.indexOf(0)));
  const number = (op: string, code: number, value: number): void =>
    void checked(`${op} of tap ${name}`, libc().ioctl(fd.number, code, BigInt(value)));
  if (tap.owner !== undefined) number("set the owner", request.setOwner, tap.owner);
  if (tap.group !== undefined) number("set the group", request.setGroup, tap.group);
  if (tap.persist !== undefined) number("set the persistence", request.setPersist, tap.persist ? 1 : 0);
  if (tap.vnetHeader) setHeaderSize(fd, name);
  return name;
}

/** 12 bytes: struct virtio_net_hdr_mrg_rxbuf, which every guest of this century expects. */
function setHeaderSize(fd: Fd, name: string): void {
  const size = new Uint8Array(Int32Array.of(12).buffer);
  checked(`set the header size of tap ${name}`, libc().ioctl(fd.number, request.setHeaderSize, size));
}

const hints: Readonly<Record<number, string>> = {
  1: "opening a tap wants CAP_NET_ADMIN, or its owner or group",
  16: "the link exists, or every queue it has is open",
  22: "the link exists and is no tap, or has another queue or header mode",
};
