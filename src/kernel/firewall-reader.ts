import { NexusError } from "../base/errors.ts";
import type { AttributeSpecs, Attributes, AttributesInput, AttributeTable } from "../wire/netlink/attributes.ts";
import {
  chainAttributes,
  elementListAttributes,
  generationAttributes,
  objectAttributes,
  ruleAttributes,
  setAttributes,
  tableAttributes,
} from "../wire/nftables/attributes.ts";
import { type ElementAttributes, decodeElements } from "../wire/nftables/elements.ts";
import { counterAttributes } from "../wire/nftables/expressions/counter.ts";
import { decodeBody, describeBody, encodeBody, messageType } from "../wire/nftables/message.ts";
import type { Element, Family } from "../wire/nftables/model.ts";
import { objectTypes } from "../wire/nftables/object-types.ts";
import type { SetDefinition } from "../wire/nftables/set-definition.ts";
import { isErrno } from "../sys/errno.ts";
import type { NetlinkSocket } from "./netlink-socket.ts";

/** An object of a dump with the family of its table; undefined for families the model has no word for. */
export type Found<S extends AttributeSpecs> = { family: Family | undefined; attributes: Attributes<S> };

const tries = 20;

/** Reads nf_tables objects as the kernel tells them, over a socket that is the caller's. */
export class FirewallReader {
  readonly #socket: NetlinkSocket;

  constructor(socket: NetlinkSocket) {
    this.#socket = socket;
  }

  /** The number that grows with each change of the ruleset of this namespace. */
  generation(): number {
    const [reply] = this.#socket.request("read the ruleset's generation", {
      type: messageType.getGeneration,
      body: encodeBody(generationAttributes, "any", {}),
    });
    const id = reply === undefined ? undefined : decodeBody(generationAttributes, reply.body, "generation").attributes.id;
    if (id === undefined) throw new NexusError("internal", "the kernel told no generation of the ruleset");
    return id;
  }

  /** What `read` gives, read again until the ruleset did not change meanwhile. @throws NexusError `timeout` when it always does */
  steadily<T>(read: () => T): T {
    for (let i = 0; i < tries; i++) {
      const before = this.generation();
      const value = read();
      if (this.generation() === before) return value;
    }
    throw new NexusError("timeout", `the ruleset changed during each of ${tries} readings`);
  }

  /** A table, or undefined when there is none. */
  table(family: Family, name: string): Attributes<typeof tableAttributes.specs> | undefined {
    const body = encodeBody(tableAttributes, family, { name });
    try {
      const [reply] = this.#socket.request(`read table ${family} ${name}`, {
        type: messageType.getTable,
        body,
        describe: describeBody(tableAttributes, body, "table"),
      });
      return reply === undefined ? undefined : decodeBody(tableAttributes, reply.body, "table").attributes;
    } catch (error) {
      if (isErrno(error, "ENOENT")) return undefined;
      throw error;
    }
  }

  tables(): Found<typeof tableAttributes.specs>[] {
    return this.#dump({ type: messageType.getTable, table: tableAttributes, family: "any", what: "tables" }, {});
  }

  chains(family: Family | "any"): Found<typeof chainAttributes.specs>[] {
    return this.#dump({ type: messageType.getChain, table: chainAttributes, family, what: "chains" }, {});
  }

  /** The rules of a table, or of one of its chains, in order. */
  rules(family: Family, place: { table: string; chain?: string | undefined }): Attributes<typeof ruleAttributes.specs>[] {
    const found = this.#dump({ type: messageType.getRule, table: ruleAttributes, family, what: "rules" }, place);
    return found
      .map(({ attributes }) => attributes)
      .filter((rule) => rule.table === place.table && (place.chain === undefined || rule.chain === place.chain));
  }

  sets(family: Family, table: string): Attributes<typeof setAttributes.specs>[] {
    const found = this.#dump({ type: messageType.getSet, table: setAttributes, family, what: "sets" }, { table });
    return found.map(({ attributes }) => attributes).filter((set) => set.table === table);
  }

  elements(family: Family, table: string, set: SetDefinition): Element[] {
    const what = `elements of ${table} ${set.name}`;
    const found = this.#dump({ type: messageType.getElements, table: elementListAttributes, family, what }, { table, set: set.name });
    const entries: ElementAttributes[] = [];
    for (const { attributes } of found) for (const entry of attributes.elements ?? []) entries.push(entry);
    return decodeElements(set, entries);
  }

  counters(family: Family, table: string): Map<string, { packets: bigint; bytes: bigint }> {
    const found = this.#dump(
      { type: messageType.getObject, table: objectAttributes, family, what: "counters" },
      { table, type: objectTypes.counter },
    );
    const counters = new Map<string, { packets: bigint; bytes: bigint }>();
    for (const { attributes } of found) {
      if (attributes.table !== table || attributes.type !== objectTypes.counter || attributes.name === undefined) continue;
      const { packets = 0n, bytes = 0n } = counterAttributes.decode(attributes.data ?? new Uint8Array(), "counter");
      counters.set(attributes.name, { packets, bytes });
    }
    return counters;
  }

  #dump<S extends AttributeSpecs>(
    how: { type: number; table: AttributeTable<S>; family: Family | "any"; what: string },
    filter: AttributesInput<S>,
  ): Found<S>[] {
    const body = encodeBody(how.table, how.family, filter);
    const messages = this.#socket.dump(`list ${how.what}`, { type: how.type, body, describe: describeBody(how.table, body, how.what) });
    const found = messages.map((message) => decodeBody(how.table, message.body, how.what));
    return how.family === "any" ? found : found.filter(({ family }) => family === how.family);
  }
}
