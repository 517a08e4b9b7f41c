import { KernelError } from "../base/errors.ts";
import { isErrno, kernelRefusal } from "../sys/errno.ts";
import type { Fd } from "../sys/fd.ts";
import { explainAck, readAck } from "../wire/netlink/error.ts";
import { controlType, type NetlinkMessage } from "../wire/netlink/message.ts";
import { tableAttributes, tableFlags } from "../wire/nftables/attributes.ts";
import { Batch } from "../wire/nftables/batch.ts";
import { type ChangeContext, encodeChange } from "../wire/nftables/change.ts";
import { changesGroup, messageType } from "../wire/nftables/message.ts";
import type { Element, Family, FirewallChange } from "../wire/nftables/model.ts";
import type { CounterValue, ObservedTable } from "../wire/nftables/observed.ts";
import type { SetDefinition } from "../wire/nftables/set-definition.ts";
import { FirewallReader } from "./firewall-reader.ts";
import { type BaseChain, surveyBaseChains } from "./firewall-survey.ts";
import { readSets, readTable } from "./firewall-table.ts";
import { FirewallEvents, type FirewallHandler } from "./firewall-watch.ts";
import { NetlinkSocket } from "./netlink-socket.ts";

/** Somebody changed the ruleset since the generation a batch was made for: read it anew and plan again. */
export class StaleRuleset extends KernelError {
  constructor(op: string) {
    super({ op, errno: "ERESTART", text: "the ruleset was changed by somebody else meanwhile" });
    this.name = "StaleRuleset";
  }
}

export type FirewallOptions = {
  /** `owner-persist`: tables nobody else can change or flush, which outlive us. Needs Linux 6.9; `probe` (the default) finds out. */
  ownership?: "owner-persist" | "none" | "probe";
  netns?: Fd | number;
};

/** What became of a table that an earlier process of ours made. */
export type Adoption = "adopted" | "ours" | "absent" | "of-another-process" | "without-owner";

/**
 * nf_tables of one network namespace over one socket. Keep it open as long as the process lives: tables belong to it,
 * and closing it makes the kernel wait for all deletions (14 ms).
 */
export class Firewall implements Disposable {
  readonly features: { readonly ownerPersist: boolean };
  readonly #socket: NetlinkSocket;
  readonly #reader: FirewallReader;
  readonly #netns: Fd | number | undefined;
  readonly #definitions = new Map<string, SetDefinition>();
  #setId = 0;

  /** @throws KernelError without CAP_NET_ADMIN, or when ownership is asked for and the kernel has none */
  static open(options: FirewallOptions = {}): Firewall {
    using stack = new DisposableStack();
    const socket = stack.use(NetlinkSocket.open("netfilter", options.netns === undefined ? {} : { netns: options.netns }));
    const wanted = options.ownership ?? "probe";
    const refusal = wanted === "none" ? undefined : refusalOfOwnership(socket);
    if (wanted === "owner-persist" && refusal !== undefined) throw refusal;
    stack.move();
    return new Firewall(socket, { ownerPersist: wanted !== "none" && refusal === undefined, netns: options.netns });
  }

  private constructor(socket: NetlinkSocket, how: { ownerPersist: boolean; netns: Fd | number | undefined }) {
    this.#socket = socket;
    this.#reader = new FirewallReader(socket);
    this.#netns = how.netns;
    this.features = { ownerPersist: how.ownerPersist };
  }

  /** The netlink port that owns the tables. */
  get portId(): number {
    return this.#socket.portId;
  }

  /** Grows with every change of the ruleset, by anybody. */
  generation(): number {
    return this.#reader.generation();
  }

  /**
   * Makes the changes in order, all or none. With `generation` only if the ruleset still is of that generation.
   * @throws StaleRuleset; KernelError naming `op` and the change that was refused; WireError for a change that cannot be said
   */
  apply(op: string, changes: readonly FirewallChange[], only: { generation?: number } = {}): void {
    if (changes.length === 0) return;
    const batch = new Batch(() => this.#socket.reserve(1), only.generation);
    const context: ChangeContext = {
      tableFlags: this.features.ownerPersist ? ownerPersist : 0,
      nextSetId: () => ++this.#setId,
      definitionOf: (family, table, set) => this.#definitionOf(family, table, set),
    };
    try {
      for (const change of changes) {
        this.#learn(change);
        encodeChange(batch, change, context);
      }
      commit(this.#socket, op, batch);
    } catch (error) {
      // What the sets are may now differ from what was learnt on the way.
      this.#definitions.clear();
      throw error;
    }
  }

  /**
   * Takes over a persistent table whose process has ended, so that it is protected again; changes nothing else.
   * @throws KernelError; StaleRuleset when the ruleset changed meanwhile
   */
  adopt(family: Family, name: string): Adoption {
    const generation = this.generation();
    const table = this.#reader.table(family, name);
    if (table === undefined) return "absent";
    const flags = table.flags ?? 0;
    if ((flags & tableFlags.owner) !== 0) return table.owner === this.portId ? "ours" : "of-another-process";
    if (!this.features.ownerPersist || (flags & tableFlags.persist) === 0) return "without-owner";
    const op = `adopt table ${family} ${name}`;
    // The kernel would make the table if it vanished before this.
    const batch = new Batch(() => this.#socket.reserve(1), generation);
    const attributes = { name, flags: ownerPersist };
    batch.add({
      type: messageType.newTable,
      flags: 0,
      family,
      about: op,
      table: tableAttributes,
      attributes: (writer) => tableAttributes.write(writer, attributes),
    });
    commit(this.#socket, op, batch);
    return "adopted";
  }

  /** The whole table of one moment, or undefined when there is none. @throws KernelError, WireError */
  dumpTable(family: Family, name: string): ObservedTable | undefined {
    return readTable(this.#reader, family, name);
  }

  /** Undefined when there is no such table or set, or one whose types are none of ours. @throws KernelError, WireError */
  dumpElements(family: Family, table: string, set: string): Element[] | undefined {
    if (this.#reader.table(family, table) === undefined) return undefined;
    const definition = this.#definitionOf(family, table, set);
    return definition === undefined ? undefined : this.#reader.steadily(() => this.#reader.elements(family, table, definition));
  }

  /** All named counters of a table. @throws KernelError */
  readCounters(family: Family, table: string): Map<string, CounterValue> {
    return this.#reader.counters(family, table);
  }

  /** The base chains of everybody, all families, with who made them and what they do in the end. @throws KernelError */
  listBaseChains(): BaseChain[] {
    return surveyBaseChains(this.#reader);
  }

  /** Tells every change of the ruleset, ours included, from the event loop until the result is disposed. @throws KernelError */
  watch(handler: FirewallHandler): Disposable & { unref(): void } {
    using stack = new DisposableStack();
    const listener = stack.use(
      NetlinkSocket.open("netfilter", { groups: [changesGroup], ...(this.#netns === undefined ? {} : { netns: this.#netns }) }),
    );
    const events = new FirewallEvents(this.portId, handler);
    const watch = listener.onMessages({ messages: (messages) => events.messages(messages), lost: () => events.lost() });
    stack.move();
    return { [Symbol.dispose]: () => listener[Symbol.dispose](), unref: () => watch.unref() };
  }

  [Symbol.dispose](): void {
    this.#socket[Symbol.dispose]();
  }

  /** Sets made or gone by a change, so that elements in the same batch find their types. */
  #learn(change: FirewallChange): void {
    if (change.kind === "add-table")
      for (const set of change.table.sets) this.#definitions.set(key(change.table.family, change.table.name, set.name), set);
    if (change.kind !== "delete-table") return;
    const prefix = key(change.family, change.name, "");
    for (const known of this.#definitions.keys()) if (known.startsWith(prefix)) this.#definitions.delete(known);
  }

  #definitionOf(family: Family, table: string, set: string): SetDefinition | undefined {
    const known = this.#definitions.get(key(family, table, set));
    if (known !== undefined) return known;
    for (const { name, definition } of readSets(this.#reader, family, table))
      if (definition !== undefined) this.#definitions.set(key(family, table, name), definition);
    return this.#definitions.get(key(family, table, set));
  }
}

const ownerPersist = tableFlags.owner | tableFlags.persist;

function key(family: Family, table: string, set: string): string {
  return `${family} ${table} ${set}`;
}

/** The kernel carries a batch out before the send returns, and answers only what it refuses. */
function commit(socket: NetlinkSocket, op: string, batch: Batch): void {
  const answers = socket.exchange(op, batch.finish(), batch.firstSequence);
  let first: { sequence: number; error: KernelError } | undefined;
  for (const answer of answers) {
    const error = answer.type === controlType.error ? refusalOf(op, answer, batch) : undefined;
    if (error !== undefined && (first === undefined || answer.sequence < first.sequence)) first = { sequence: answer.sequence, error };
  }
  if (first !== undefined) throw first.error;
}

function refusalOf(op: string, answer: NetlinkMessage, batch: Batch): KernelError | undefined {
  const ack = readAck(answer);
  if (ack.errno === 0) return undefined;
  const note = batch.note(answer.sequence);
  const what = note === undefined || note.about === op ? op : `${op}: ${note.about}`;
  const error = kernelRefusal(what, ack.errno, { ack: explainAck(ack, note?.describe) });
  return isErrno(error, "ERESTART") ? new StaleRuleset(op) : error;
}

/** Makes and deletes a table in one batch: nothing of it is ever seen. */
function refusalOfOwnership(socket: NetlinkSocket): KernelError | undefined {
  const batch = new Batch(() => socket.reserve(1));
  const name = `nexus-probe-${socket.portId}`;
  const put = (type: number, attributes: { name: string; flags?: number }): void =>
    batch.add({
      type,
      flags: 0,
      family: "inet",
      about: "probe for tables with an owner",
      table: tableAttributes,
      attributes: (writer) => tableAttributes.write(writer, attributes),
    });
  put(messageType.newTable, { name, flags: ownerPersist });
  put(messageType.deleteTable, { name });
  try {
    commit(socket, "probe for tables with an owner", batch);
    return undefined;
  } catch (error) {
    // EPERM is no answer to the question.
    if (isErrno(error, "EOPNOTSUPP", "EINVAL")) return error;
    throw error;
  }
}
