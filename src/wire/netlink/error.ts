import type { KernelAck } from "../../base/errors.ts";
import { attributeTable } from "./attributes.ts";
import { bytes, string, u32 } from "./codecs.ts";
import { align4, Reader } from "./bytes.ts";
import { nested } from "./nesting.ts";
import { controlType, headerLength, messageFlags, type NetlinkMessage } from "./message.ts";

const policyAttributes = attributeTable({
  type: { number: 1, codec: u32, meaning: "kind of payload the kernel wants" },
  minimumLength: { number: 6, codec: u32, meaning: "shortest payload" },
  maximumLength: { number: 7, codec: u32, meaning: "longest payload" },
});

/** NLMSGERR_ATTR_* (include/uapi/linux/netlink.h). */
const ackAttributes = attributeTable({
  message: { number: 1, codec: string, meaning: "the kernel's words" },
  offset: { number: 2, codec: u32, meaning: "byte of the request, header included, where the bad attribute begins" },
  cookie: { number: 3, codec: bytes, meaning: "data of the subsystem" },
  policy: { number: 4, codec: nested(policyAttributes), meaning: "what the kernel wants there" },
  missingType: { number: 5, codec: u32, meaning: "number of an attribute that is missing" },
  missingNest: { number: 6, codec: u32, meaning: "byte of the request where the nest begins that lacks it" },
});

/** An acknowledgement: `errno` is positive, 0 for success. `offset` counts from the start of the request's header. */
export type NetlinkAck = {
  errno: number;
  message?: string | undefined;
  offset?: number | undefined;
  missing?: { type: number; nest: number | undefined } | undefined;
};

/** Reads NLMSG_ERROR, or the status a finished dump carries in NLMSG_DONE. @throws WireError */
export function readAck(message: NetlinkMessage): NetlinkAck {
  const reader = new Reader(message.body, "netlink ack");
  // A dump without status is what kernels before 4.14 and a few subsystems send.
  if (message.type === controlType.done && reader.remaining < 4) return { errno: 0 };
  // Positive numbers are no errors: some dumps end with a count.
  const errno = Math.max(0, -reader.s32());
  if (message.type === controlType.error) {
    const length = reader.u32();
    reader.skip(headerLength - 4);
    if ((message.flags & messageFlags.capped) === 0) reader.skip(Math.max(0, align4(length) - headerLength));
  }
  const ack: NetlinkAck = { errno };
  if ((message.flags & messageFlags.ackAttributes) === 0) return ack;
  const said = ackAttributes.decode(message.body, "netlink ack", reader.offset);
  ack.message = said.message;
  ack.offset = said.offset;
  if (said.missingType !== undefined) ack.missing = { type: said.missingType, nest: said.missingNest };
  return ack;
}

/** The ack in words for a KernelError; `describe` names the attribute at a byte of the request's body. */
export function explainAck(ack: NetlinkAck, describe: ((offset: number) => string | undefined) | undefined): KernelAck | undefined {
  const attribute = attributeOf(ack, describe);
  if (ack.message === undefined && attribute === undefined) return undefined;
  return { ...(ack.message === undefined ? {} : { message: ack.message }), ...(attribute === undefined ? {} : { attribute }) };
}

function attributeOf(ack: NetlinkAck, describe: ((offset: number) => string | undefined) | undefined): string | undefined {
  if (ack.missing !== undefined) {
    const nest = ack.missing.nest === undefined ? undefined : describe?.(ack.missing.nest - headerLength);
    return `${nest === undefined ? "" : `${nest}: `}attribute ${ack.missing.type} is missing`;
  }
  if (ack.offset === undefined || ack.offset < headerLength) return undefined;
  return describe?.(ack.offset - headerLength) ?? `byte ${ack.offset}`;
}
