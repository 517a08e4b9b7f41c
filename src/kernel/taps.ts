import type { Mac } from "../base/mac.ts";
import type { IfName } from "../base/names.ts";
import type { Fd } from "../sys/fd.ts";
import { kernelRefusal } from "../sys/errno.ts";
import { Pidfd } from "../sys/pidfd.ts";
import { joinTap, openTap, type TapRequest } from "../sys/tap.ts";
import { type BatchStep, batchSteps } from "./batch-steps.ts";
import { altNameStep, changeStep, deleteLink, findLinkIndex } from "./links.ts";
import type { NetlinkSocket } from "./netlink-socket.ts";
import { type PortChange, portStep } from "./ports.ts";

export type TapInput = {
  name: IfName;
  /** Of the host's end; the guest's card has another. */
  mac: Mac;
  mtuBytes: number;
  group: number;
  master: { readonly index: number; readonly name: string };
  altName: string;
  port: PortChange;
  /** More than one makes the tap multi-queue, and its guest's card must be too (linux/if_tun.h IFF_MULTI_QUEUE). */
  queues: number;
  /** Has the queues open already, dead since their tap was deleted: they come to life again as those of the new one. */
  holder?: TapHolder | undefined;
};

/** A process and the numbers it knows a tap's queues by, in order. */
export type TapHolder = { pid: number; fds: readonly number[] };

/**
 * Makes taps on their bridges, up, and gives the open queues of each: descriptors that a virtual machine inherits. A tap lives as
 * long as one of its queues is open, so nothing is left behind when any part is refused. All changes go to the kernel in one call.
 * @throws KernelError; EBUSY when a name is taken, ESRCH when a holder has ended
 */
export function createTaps(rt: NetlinkSocket, inputs: readonly TapInput[]): Fd[][] {
  using stack = new DisposableStack();
  const queues = inputs.map((input) => {
    const request = (create: boolean) => ({ name: input.name, multiQueue: input.queues > 1, vnetHeader: true, create });
    if (input.holder !== undefined) {
      const fds = revive(input.holder, request).map((fd) => stack.use(fd));
      // Held by another process, it does not go with our copies.
      stack.defer(() => deleteLink(rt, { index: findLinkIndex(rt, input.name) ?? 0, name: input.name }));
      return fds;
    }
    return Array.from({ length: input.queues }, (_, i) => stack.use(openTap(request(i === 0)).fd));
  });
  batchSteps(
    rt,
    inputs.flatMap((input) => settingUp(rt, input)),
  );
  stack.move();
  return queues;
}

/** The holder's own queues, joined to a new tap of the old name: what reads and writes them notices only that packets were lost. */
function revive({ pid, fds }: TapHolder, request: (create: boolean) => TapRequest): Fd[] {
  using stack = new DisposableStack();
  using process = Pidfd.open(pid);
  if (process === undefined) throw kernelRefusal(`take the queues of a tap from process ${pid}`, esrch);
  const queues = fds.map((number) => stack.use(process.descriptor(number)));
  for (const [i, fd] of queues.entries()) joinTap(fd, request(i === 0));
  stack.move();
  return queues;
}

const esrch = 3;

/** Named and marked before it joins the bridge and comes up: a crash in between leaves nothing that works and is not known as ours. */
function settingUp(rt: NetlinkSocket, { name, mac, mtuBytes, group, master, altName, port }: TapInput): BatchStep[] {
  const link = { index: findLinkIndex(rt, name) ?? 0, name };
  return [
    changeStep(link, { mac, mtuBytes, group, ipv6LinkLocal: "none" }),
    altNameStep(link, altName),
    changeStep(link, { master, up: true }),
    portStep(link, port),
  ];
}

/** Taps that were made for virtual machines about to start, until their queues are handed over or given up. */
export class TapStock implements Disposable {
  readonly #queues = new Map<IfName, Fd[]>();

  put(name: IfName, queues: Fd[]): void {
    this.close(name);
    this.#queues.set(name, queues);
  }

  /** The queues' numbers, for a child to inherit; they stay open here until `close`. */
  numbers(name: IfName): number[] | undefined {
    return this.#queues.get(name)?.map((fd) => fd.number);
  }

  /** Closes this process' copies: the tap goes with them unless a virtual machine has it open. */
  close(name: IfName): void {
    for (const fd of this.#queues.get(name) ?? []) fd[Symbol.dispose]();
    this.#queues.delete(name);
  }

  [Symbol.dispose](): void {
    for (const name of this.#queues.keys()) this.close(name);
  }
}
