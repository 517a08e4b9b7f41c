import type { AttributeSpecs, AttributeTable } from "../netlink/attributes.ts";
import { Writer } from "../netlink/bytes.ts";
import { headerLength, messageFlags } from "../netlink/message.ts";
import { batchAttributes } from "./attributes.ts";
import { batchType, describeBody, nftablesSubsystem, writeGenericHeader } from "./message.ts";
import type { Family } from "./model.ts";

/** A message of a batch. `about` says in words what it does, for errors. */
export type BatchMessage<S extends AttributeSpecs> = {
  type: number;
  flags: number;
  family: Family;
  about: string;
  table: AttributeTable<S>;
  attributes: (writer: Writer) => void;
};

/** What a message of the batch does, and the name of the attribute at a byte of its body. */
export type BatchNote = { about: string; describe: (offset: number) => string };

/** Messages that the kernel carries out all together or not at all, in one datagram (net/netfilter/nfnetlink.c). */
export class Batch {
  readonly #writer = new Writer(16 << 10);
  readonly #nextSequence: () => number;
  readonly #notes = new Map<number, BatchNote>();
  readonly firstSequence: number;

  /** `generation`, when given, is what the ruleset must still have, else the kernel answers ERESTART. */
  constructor(nextSequence: () => number, generation?: number) {
    this.#nextSequence = nextSequence;
    this.firstSequence = nextSequence();
    this.#message({ type: batchType.begin, flags: messageFlags.request }, this.firstSequence, (writer) => {
      writeGenericHeader(writer, "any", nftablesSubsystem);
      batchAttributes.write(writer, { generation });
    });
  }

  add<S extends AttributeSpecs>(message: BatchMessage<S>): void {
    const sequence = this.#nextSequence();
    const start = this.#writer.length;
    this.#message({ type: message.type, flags: message.flags | messageFlags.request }, sequence, (writer) => {
      writeGenericHeader(writer, message.family);
      message.attributes(writer);
    });
    const end = this.#writer.length;
    const describe = (offset: number): string =>
      describeBody(message.table, this.#writer.peek().subarray(start + headerLength, end), "message")(offset);
    this.#notes.set(sequence, { about: message.about, describe });
  }

  /** By sequence number; undefined for the frame around the batch. */
  note(sequence: number): BatchNote | undefined {
    return this.#notes.get(sequence);
  }

  /** The datagram, ready to send; valid until the batch is added to. */
  finish(): Uint8Array {
    this.#message({ type: batchType.end, flags: messageFlags.request }, this.#nextSequence(), (writer) =>
      writeGenericHeader(writer, "any", nftablesSubsystem),
    );
    return this.#writer.peek();
  }

  #message(header: { type: number; flags: number }, sequence: number, body: (writer: Writer) => void): void {
    const writer = this.#writer;
    const start = writer.length;
    writer.u32(0);
    writer.u16(header.type);
    writer.u16(header.flags);
    writer.u32(sequence);
    writer.u32(0);
    body(writer);
    writer.patchU32(start, writer.length - start);
    writer.align();
  }
}
