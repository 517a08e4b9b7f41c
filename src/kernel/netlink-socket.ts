import { KernelError, NexusError } from "../base/errors.ts";
import { errnoName, kernelRefusal } from "../sys/errno.ts";
import type { Fd } from "../sys/fd.ts";
import { type NetlinkEndpoint, NetlinkReader, openNetlink, sendNetlink, sendNetlinkAsync } from "../sys/netlink.ts";
import { interfaceIndex } from "../sys/interface-number.ts";
import { inNetns } from "../sys/netns.ts";
import { Watch } from "../sys/poll.ts";
import { Writer } from "../wire/netlink/bytes.ts";
import { explainAck, type NetlinkAck, readAck } from "../wire/netlink/error.ts";
import {
  controlType,
  messageFlags,
  type NetlinkMessage,
  type NetlinkRequest,
  readMessages,
  writeMessage,
} from "../wire/netlink/message.ts";

export type NetlinkProtocol = "route" | "netfilter";

/** What listens to multicast groups. After `lost` something was missed: read everything anew. */
export type NetlinkHandler = { messages(messages: NetlinkMessage[]): void; lost(): void };

/** A refused message of a batch; the others were carried out, for netlink goes on after an error. */
export class BatchRefusal extends KernelError {
  /** Of the first refused message. */
  readonly index: number;
  readonly results: readonly BatchResult[];

  constructor(first: KernelError, index: number, results: readonly BatchResult[]) {
    super({ op: first.op, errno: first.errno, text: first.text, ack: first.ack });
    this.name = "BatchRefusal";
    this.index = index;
    this.results = results;
  }
}

export type BatchResult = { messages: NetlinkMessage[]; refusal: KernelError | undefined };

const deadlineMs = 5000;
const dumpTries = 50;
const eventsPerWake = 64;
/** Acks count against the receive buffer with about 800 bytes each, so long batches go in parts. */
const batchPart = 512;

/**
 * A conversation with the kernel. Requests are answered before send returns, so everything is synchronous and takes microseconds;
 * no call may be made from within another. Whatever is returned is the caller's own memory.
 */
export class NetlinkSocket implements Disposable {
  // Every read is copied out before it returns, so all sockets share one buffer.
  static readonly #buffer = new Uint8Array(256 << 10);

  readonly portId: number;
  readonly #fd: Fd;
  readonly #reader = new NetlinkReader();
  readonly #writer = new Writer(4096);
  readonly #listens: boolean;
  #watch: Watch | undefined;
  #sequence = 0;
  #asleep: Promise<unknown> | undefined;

  /**
   * Opens a socket in the caller's namespace, or in `netns`. With `groups` (numbers, not masks) it only listens.
   * @throws KernelError
   */
  static open(protocol: NetlinkProtocol, options: { netns?: Fd | number; groups?: readonly number[] } = {}): NetlinkSocket {
    const groups = options.groups ?? [];
    const open = (): NetlinkEndpoint => openNetlink(protocol, { groups, deadlineMs });
    return new NetlinkSocket(options.netns === undefined ? open() : inNetns(options.netns, open), groups.length > 0);
  }

  private constructor(endpoint: NetlinkEndpoint, listens: boolean) {
    this.#fd = endpoint.fd;
    this.portId = endpoint.portId;
    this.#listens = listens;
  }

  /** Does one request and gives the messages that came before its ack. @throws KernelError with the kernel's explanation */
  request(op: string, request: NetlinkRequest): NetlinkMessage[] {
    this.#checkFree();
    const sequence = this.#send(op, request, messageFlags.ack);
    return this.#collect(op, request, sequence);
  }

  /**
   * Reads a table whole, again whenever it changed meanwhile (NLM_F_DUMP_INTR), so the result is of one moment.
   * @throws KernelError; NexusError `timeout` when it changes without end
   */
  dump(op: string, request: NetlinkRequest): NetlinkMessage[] {
    this.#checkFree();
    for (let attempt = 0; attempt < dumpTries; attempt++) {
      const found = this.#dumpOnce(op, request);
      if (found !== undefined) return found;
    }
    throw new NexusError("timeout", `${op}: the kernel's table changed during each of ${dumpTries} readings`);
  }

  /**
   * Sends messages together; each has its own result. All are tried, whatever became of those before.
   * @throws BatchRefusal with the first refusal and all results
   */
  batch(op: string, requests: readonly NetlinkRequest[]): NetlinkMessage[][] {
    this.#checkFree();
    const results: BatchResult[] = [];
    for (let from = 0; from < requests.length; from += batchPart) this.#batchPart(op, requests.slice(from, from + batchPart), results);
    const index = results.findIndex((result) => result.refusal !== undefined);
    const refusal = results[index]?.refusal;
    if (refusal !== undefined) throw new BatchRefusal(refusal, index, results);
    return results.map((result) => result.messages);
  }

  /**
   * As request, on a thread of the pool, for requests in which the kernel sleeps (deleting a link: 20 ms).
   * Requests queue up behind each other; the socket takes no other kind until they are done. Warm the pool first.
   */
  requestAsync(op: string, request: NetlinkRequest): Promise<NetlinkMessage[]> {
    if (this.#listens) throw new TypeError("a socket that listens to groups takes no requests");
    const before = this.#asleep ?? Promise.resolve();
    const mine = before.then(async () => {
      const sequence = this.#compose(request, messageFlags.ack);
      await sendNetlinkAsync(this.#fd, this.#writer.finish(), op);
      return this.#collect(op, request, sequence);
    });
    // What failed is told to its own caller; the queue only cares when it ended.
    const settled: Promise<unknown> = mine.then(
      () => this.#wake(settled),
      () => this.#wake(settled),
    );
    this.#asleep = settled;
    return mine;
  }

  /** The index of an interface of the socket's namespace, by SIOCGIFINDEX (netdevice(7)), which takes no lock; undefined when there is none. */
  interfaceIndex(name: string): number | undefined {
    return interfaceIndex(this.#fd, name);
  }

  /** The sequence numbers for `count` messages that the caller encodes itself; the first is returned. */
  reserve(count: number): number {
    const first = this.#sequence + 1;
    this.#sequence += count;
    return first;
  }

  /**
   * Sends what the caller encoded, as one datagram, and gives all messages the kernel answered by then: for nfnetlink batches,
   * which are carried out within the call. Acks and errors are among them; replies to earlier messages are not.
   * @throws KernelError when it cannot be sent, or answers were lost (ENOBUFS)
   */
  exchange(op: string, bytes: Uint8Array, firstSequence: number): NetlinkMessage[] {
    this.#checkFree();
    sendNetlink(this.#fd, bytes, op);
    const answers: NetlinkMessage[] = [];
    for (;;) {
      const read = this.#read(op, "poll");
      if (read === "nothing") return answers;
      if (read === "lost") throw kernelRefusal(op, enobufs);
      for (const message of read) if (message.sequence >= firstSequence && message.sequence <= this.#sequence) answers.push(message);
    }
  }

  /** Delivers multicast messages from the event loop until the result or the socket is disposed. One handler per socket. */
  onMessages(handler: NetlinkHandler): Disposable & { unref(): void } {
    if (!this.#listens) throw new TypeError("a socket for requests has no groups to listen to");
    const watch = new Watch(this.#fd, () => this.#deliver(handler));
    this.#watch = watch;
    return { [Symbol.dispose]: () => watch[Symbol.dispose](), unref: () => void watch.unref() };
  }

  [Symbol.dispose](): void {
    this.#watch?.[Symbol.dispose]();
    this.#fd[Symbol.dispose]();
  }

  #checkFree(): void {
    if (this.#listens) throw new TypeError("a socket that listens to groups takes no requests");
    if (this.#asleep !== undefined) throw new TypeError("a request is still on its way on this socket");
  }

  #wake(settled: Promise<unknown>): void {
    if (this.#asleep === settled) this.#asleep = undefined;
  }

  #compose(request: NetlinkRequest, flags: number): number {
    const sequence = this.reserve(1);
    this.#writer.reset();
    writeMessage(this.#writer, { type: request.type, flags: messageFlags.request | flags | (request.flags ?? 0), sequence }, request.body);
    return sequence;
  }

  #send(op: string, request: NetlinkRequest, flags: number): number {
    const sequence = this.#compose(request, flags);
    sendNetlink(this.#fd, this.#writer.peek(), op);
    return sequence;
  }

  #collect(op: string, request: NetlinkRequest, sequence: number): NetlinkMessage[] {
    const replies: NetlinkMessage[] = [];
    for (const message of this.#answers(op, sequence, sequence)) {
      if (message.type !== controlType.error) replies.push(message);
      else {
        const refusal = refusalOf(op, readAck(message), request);
        if (refusal !== undefined) throw refusal;
        return replies;
      }
    }
    throw kernelRefusal(op, etimedout);
  }

  /** Undefined when the table changed or part of it was lost. */
  #dumpOnce(op: string, request: NetlinkRequest): NetlinkMessage[] | undefined {
    const sequence = this.#send(op, request, messageFlags.dump);
    const found: NetlinkMessage[] = [];
    let torn = false;
    try {
      for (const message of this.#answers(op, sequence, sequence)) {
        torn ||= (message.flags & messageFlags.dumpInterrupted) !== 0;
        if (message.type !== controlType.done && message.type !== controlType.error) {
          found.push(message);
          continue;
        }
        const refusal = refusalOf(op, readAck(message), request);
        if (refusal?.errno === "EINTR") return undefined;
        if (refusal !== undefined) throw refusal;
        return torn ? undefined : found;
      }
    } catch (error) {
      if (error instanceof KernelError && (error.errno === "ENOBUFS" || error.errno === "EBUSY")) return undefined;
      throw error;
    }
    throw kernelRefusal(op, etimedout);
  }

  #batchPart(op: string, requests: readonly NetlinkRequest[], results: BatchResult[]): void {
    const first = this.reserve(requests.length);
    const last = first + requests.length - 1;
    const part = requests.map((): BatchResult => ({ messages: [], refusal: undefined }));
    this.#writer.reset();
    requests.forEach((request, i) => {
      const flags = messageFlags.request | messageFlags.ack | (request.flags ?? 0);
      writeMessage(this.#writer, { type: request.type, flags, sequence: first + i }, request.body);
    });
    sendNetlink(this.#fd, this.#writer.peek(), op);
    for (const message of this.#answers(op, first, last)) {
      const result = part[message.sequence - first] as BatchResult;
      if (message.type === controlType.error) {
        result.refusal = refusalOf(op, readAck(message), requests[message.sequence - first] as NetlinkRequest);
        // Messages are worked through in order: the last one's ack is the last answer.
        if (message.sequence === last) break;
      } else result.messages.push(message);
    }
    results.push(...part);
  }

  /** The kernel's answers to sequence numbers `first` to `last`, until the consumer stops. @throws KernelError at the deadline */
  *#answers(op: string, first: number, last: number): Generator<NetlinkMessage, void> {
    let lost = false;
    for (;;) {
      const read = this.#read(op, lost ? "poll" : "wait");
      if (read === "nothing") throw kernelRefusal(op, lost ? enobufs : etimedout);
      if (read === "lost") lost = true;
      else for (const message of read) if (message.sequence >= first && message.sequence <= last) yield message;
    }
  }

  #read(op: string, mode: "wait" | "poll"): NetlinkMessage[] | "nothing" | "lost" {
    for (;;) {
      const read = this.#reader.read(this.#fd, NetlinkSocket.#buffer, mode);
      if ("errno" in read) {
        const name = errnoName(read.errno);
        if (name === "EINTR") continue;
        if (name === "EAGAIN") return "nothing";
        if (name === "ENOBUFS") return "lost";
        throw kernelRefusal(op, read.errno);
      }
      if (!read.fromKernel) continue;
      if (read.length > NetlinkSocket.#buffer.length) throw kernelRefusal(`${op}: an answer of ${read.length} bytes`, emsgsize);
      return readMessages(NetlinkSocket.#buffer.slice(0, read.length));
    }
  }

  #deliver(handler: NetlinkHandler): void {
    for (let i = 0; i < eventsPerWake && !this.#fd.closed; i++) {
      const read = this.#read("read kernel events", "poll");
      if (read === "nothing") return;
      if (read === "lost") return this.#skipBacklog(handler);
      handler.messages(read);
    }
  }

  /** Once full, the kernel drops events until the queue was read empty: only what comes after that is whole. */
  #skipBacklog(handler: NetlinkHandler): void {
    while (this.#read("read kernel events", "poll") !== "nothing");
    handler.lost();
  }
}

const enobufs = 105;
const etimedout = 110;
const emsgsize = 90;

function refusalOf(op: string, ack: NetlinkAck, request: NetlinkRequest): KernelError | undefined {
  return ack.errno === 0 ? undefined : kernelRefusal(op, ack.errno, { ack: explainAck(ack, request.describe) });
}
