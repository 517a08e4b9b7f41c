import { isDeepStrictEqual } from "node:util";
import { NexusError, SpecError } from "../base/errors.ts";
import { check } from "../spec/problems.ts";
import { type VmNetwork, vmSpec } from "../spec/vm.ts";
import type { AttachmentRow } from "../state/rows.ts";
import { type Admission, admitCard, checkNetworks } from "./admit.ts";
import type { Machine } from "./kinds.ts";

/**
 * The wanted machine with the cards of its specification: those that `guest`, which it is now, has and keeps are as they were, and in their
 * place. Addresses of new ones are taken until `undo`. @throws NexusError unsupported, and as admit does; SpecError
 */
export function readmit(wanted: Machine, guest: Machine, { at, undo }: { at: Admission; undo: DisposableStack }): Machine {
  const { spec } = wanted;
  const checked = check(vmSpec, spec);
  if ("problems" in checked) throw new SpecError(checked.problems);
  const stay = guest.spec.networks.filter(({ network }) => spec.networks.some((ref) => ref.network === network));
  if (!isDeepStrictEqual(spec.networks.slice(0, stay.length).map(cardOf), stay.map(cardOf)))
    throw new NexusError("unsupported", `the cards that ${guest.name} keeps stay as they are, before those that are new`, {
      hint: "take a card away and give it again to change its address or its place",
    });
  for (const disk of spec.disks) {
    const had = guest.spec.disks.find(({ name }) => name === disk.name);
    if (had !== undefined && !isDeepStrictEqual(had, disk))
      throw new NexusError("unsupported", `disk ${disk.name} of ${guest.name} stays as it is`, {
        hint: "take it away and give it again to change it",
      });
  }
  checkNetworks({ kind: "vm", spec }, at.world, guest.spec.networks);
  const attachments = guest.attachments.filter((a) => stay.some((ref) => ref.network === a.network));
  const leases = guest.leases.filter((lease) => attachments.some((a) => a.nic === lease.nic));
  const used = [...guest.attachments];
  for (const ref of spec.networks.slice(stay.length)) {
    const nic = { id: guest.id, guest: guest.name, index: nextCard(used), epoch: guest.epoch };
    const card = admitCard(ref, nic, { kind: "vm", at, undo, beside: used });
    used.push(card.attachment);
    attachments.push(card.attachment);
    leases.push(...card.leases);
  }
  return { ...wanted, attachments: attachments.toSorted((a, b) => a.nic - b.nic), leases };
}

/** What of a network's entry is about the card itself: policies change without it. */
export function cardOf({ network, address, address6, mac }: VmNetwork): VmNetwork {
  return { network, address, address6, mac };
}

/** Behind all there are, so that the first stays the first; a machine has sixteen numbers. */
function nextCard(used: readonly AttachmentRow[]): number {
  const behind = Math.max(-1, ...used.map((a) => a.nic)) + 1;
  if (behind < mostCards) return behind;
  const free = Array.from({ length: mostCards }, (_, n) => n).find((n) => !used.some((a) => a.nic === n));
  if (free !== undefined) return free;
  throw new NexusError("pool-exhausted", `a virtual machine has ${mostCards} cards at most`);
}

const mostCards = 16;
