import { align4, Reader, type Writer } from "./bytes.ts";

/** One message, header taken apart (struct nlmsghdr, include/uapi/linux/netlink.h). `body` starts after the header. */
export type NetlinkMessage = { type: number; flags: number; sequence: number; portId: number; body: Uint8Array };

/** What a caller wants said to the kernel: the socket adds sequence number, NLM_F_REQUEST and NLM_F_ACK. */
export type NetlinkRequest = {
  type: number;
  /** NLM_F_* beyond REQUEST and ACK. */
  flags?: number | undefined;
  body: Uint8Array;
  /** Names the attribute at a byte of `body`, for errors: see attributePath. */
  describe?: ((offset: number) => string | undefined) | undefined;
};

export const headerLength = 16;

/** NLM_F_*. Bits from 0x100 mean different things for get, new and delete requests, and for acks. */
export const messageFlags = {
  request: 0x1,
  multi: 0x2,
  ack: 0x4,
  echo: 0x8,
  dumpInterrupted: 0x10,
  dumpFiltered: 0x20,
  /** On get requests. */
  root: 0x100,
  match: 0x200,
  atomic: 0x400,
  dump: 0x300,
  /** On new requests. */
  replace: 0x100,
  exclusive: 0x200,
  create: 0x400,
  append: 0x800,
  /** On delete requests. */
  nonRecursive: 0x100,
  bulk: 0x200,
  /** On acks. */
  capped: 0x100,
  ackAttributes: 0x200,
} as const;

/** NLMSG_*: types below 16 belong to netlink itself. */
export const controlType = { noop: 1, error: 2, done: 3, overrun: 4 } as const;

/** Appends one message, padded. */
export function writeMessage(
  writer: Writer,
  header: { type: number; flags: number; sequence: number; portId?: number },
  body: Uint8Array,
): void {
  writer.u32(headerLength + body.length);
  writer.u16(header.type);
  writer.u16(header.flags);
  writer.u32(header.sequence);
  writer.u32(header.portId ?? 0);
  writer.write(body);
  writer.align();
}

/** Every message of a datagram, in order; bodies share memory with it. @throws WireError */
export function readMessages(bytes: Uint8Array): NetlinkMessage[] {
  const messages: NetlinkMessage[] = [];
  const reader = new Reader(bytes, "netlink message");
  while (reader.remaining > 0) {
    const start = reader.offset;
    const length = reader.u32();
    if (length < headerLength || length > bytes.length - start) {
      reader.offset = start;
      reader.fail(`a message claims ${length} bytes`);
    }
    const type = reader.u16();
    const flags = reader.u16();
    const sequence = reader.u32();
    const portId = reader.u32();
    messages.push({ type, flags, sequence, portId, body: bytes.subarray(start + headerLength, start + length) });
    // The last message of a datagram need not be padded.
    reader.offset = Math.min(start + align4(length), bytes.length);
  }
  return messages;
}
