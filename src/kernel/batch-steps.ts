import type { KernelError } from "../base/errors.ts";
import { errnoNumber, kernelRefusal } from "../sys/errno.ts";
import type { NetlinkMessage, NetlinkRequest } from "../wire/netlink/message.ts";
import { BatchRefusal, type NetlinkSocket } from "./netlink-socket.ts";

/** One message of a batch and the sentence its refusal begins with. */
export type BatchStep = { op: string; request: NetlinkRequest };

/** Sends all steps in one call and gives each one's replies. All are tried. @throws KernelError of the first that was refused, under its own op */
export function batchSteps(rt: NetlinkSocket, steps: readonly BatchStep[]): NetlinkMessage[][] {
  try {
    return rt.batch(
      "batch",
      steps.map((step) => step.request),
    );
  } catch (error) {
    if (error instanceof BatchRefusal) throw underOp(error, steps[error.index]?.op ?? error.op);
    throw error;
  }
}

/** As batchSteps, but refusals with one of these errnos count as done: what is to go was gone. Gives how many were carried out. */
export function batchIgnoring(rt: NetlinkSocket, steps: readonly BatchStep[], ignored: readonly string[]): number {
  try {
    rt.batch(
      "batch",
      steps.map((step) => step.request),
    );
    return steps.length;
  } catch (error) {
    if (!(error instanceof BatchRefusal)) throw error;
    let done = 0;
    error.results.forEach(({ refusal }, i) => {
      if (refusal === undefined) done++;
      else if (!ignored.includes(refusal.errno)) throw underOp(refusal, steps[i]?.op ?? refusal.op);
    });
    return done;
  }
}

function underOp(refusal: KernelError, op: string): KernelError {
  return kernelRefusal(op, errnoNumber(refusal.errno) ?? 0, { ack: refusal.ack });
}
