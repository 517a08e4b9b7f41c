import type { Mac } from "../base/mac.ts";
import type { IfName } from "../base/names.ts";
import type { Fd } from "../sys/fd.ts";
import { openTap } from "../sys/tap.ts";
import { type BatchStep, batchSteps } from "./batch-steps.ts";
import { altNameStep, changeStep, findLinkIndex } from "./links.ts";
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
};

/**
 * Makes taps on their bridges, up, and gives the open queues of each: descriptors that a virtual machine inherits. A tap lives as
 * long as one of its queues is open, so nothing is left behind when any part is refused. All changes go to the kernel in one call.
 * @throws KernelError; EBUSY when a name is taken
 */
export function createTaps(rt: NetlinkSocket, inputs: readonly TapInput[]): Fd[][] {
  using stack = new DisposableStack();
  const queues = inputs.map((input) => {
    const open = (create: boolean) => stack.use(openTap({ name: input.name, multiQueue: input.queues > 1, vnetHeader: true, create }).fd);
    return Array.from({ length: input.queues }, (_, i) => open(i === 0));
  });
  batchSteps(
    rt,
    inputs.flatMap((input) => settingUp(rt, input)),
  );
  stack.move();
  return queues;
}

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
