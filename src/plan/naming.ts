import { hash } from "node:crypto";
import { type Mac, macFromHash } from "../base/mac.ts";
import { type IfName, isFault, type Name, parseIfName } from "../base/names.ts";

/** Names of kernel objects. All are functions of what they name, so a lost or foreign object is recognised without asking state. */

/** Whether a name is in use. Deterministic names collide seldom; then the next in a fixed order is taken. */
export type IsTaken = (name: string) => boolean;

/** `nx-<network>`, or with a hash when that would pass 15 bytes. `isTaken` sees bridges of other networks and of the host. */
export function bridgeName(network: Name, isTaken: IsTaken = never): IfName {
  const plain = `nx-${network}`;
  if (plain.length <= 15 && !isTaken(plain)) return ifName(plain);
  return firstFree((attempt) => `nx-${cut(network, 6)}-${digest(["bridge", network, attempt], 5)}`, isTaken);
}

/** The host side of one NIC. The epoch changes whenever a guest's interfaces are made anew, so an old one never has the new one's name. */
export function hostInterfaceName(nic: NicId, epoch: number, isTaken: IsTaken = never): IfName {
  return firstFree((attempt) => `n${digest(["nic", nic.id, nic.index, epoch, attempt], 5)}-${cut(nic.guest, 8)}`, isTaken);
}

/** `id` is the guest's id in state, `index` the number of its NIC. */
export type NicId = { id: string; guest: Name; index: number };

/**
 * `nexus:<network>:<guest>:<nic>:<interface>`, the mark by which `ip link` shows whose an interface is. At most 127 bytes (linux/if.h ALTIFNAMSIZ).
 * It names the interface too, since the kernel takes its time to remove an old one, which still bears its mark.
 */
export function altName(nic: { network: Name; guest: Name; nic: number; hostInterface: IfName }): string {
  const { network, guest, hostInterface } = nic;
  const whole = `nexus:${network}:${guest}:${nic.nic}:${hostInterface}`;
  return whole.length <= 127 ? whole : `nexus:${shorten(network, 44)}:${shorten(guest, 44)}:${nic.nic}:${hostInterface}`;
}

/** A guest NIC's address: the same for the life of the guest. `instance` keeps two hosts on one LAN apart. */
export function nicMac(instance: string, nic: Pick<NicId, "id" | "index">, isTaken: IsTaken = never): Mac {
  return firstFreeMac(["mac", instance, nic.id, nic.index], isTaken);
}

/** A bridge's address, fixed so that it does not follow its ports' (net/bridge/br_if.c br_stp_recalculate_bridge_id). */
export function bridgeMac(instance: string, network: Name, isTaken: IsTaken = never): Mac {
  return firstFreeMac(["bridge-mac", instance, network], isTaken);
}

export const netnsPrefix = "nexus-";

/** The name under /run/netns, which `ip netns` shows. */
export function netnsName(guest: Name): string {
  return `${netnsPrefix}${guest}`;
}

function never(): boolean {
  return false;
}

function firstFree(candidate: (attempt: number) => string, isTaken: IsTaken): IfName {
  for (let attempt = 0; ; attempt++) {
    const name = candidate(attempt);
    if (!isTaken(name)) return ifName(name);
  }
}

function firstFreeMac(parts: readonly (string | number)[], isTaken: IsTaken): Mac {
  for (let attempt = 0; ; attempt++) {
    const mac = macFromHash(sha256([...parts, attempt]));
    if (!isTaken(mac)) return mac;
  }
}

function ifName(text: string): IfName {
  const name = parseIfName(text);
  if (isFault(name)) throw new RangeError(name.fault);
  return name;
}

/** The first characters of a name; one cut behind a "-" loses it, because some programs read a trailing "-" as an option. */
function cut(name: Name, length: number): string {
  return name.slice(0, length).replace(/-+$/, "");
}

function shorten(name: Name, length: number): string {
  return name.length <= length ? name : `${name.slice(0, length - 9)}~${digest(["name", name], 8)}`;
}

const alphabet = "abcdefghijklmnopqrstuvwxyz234567";

/** `length` characters of 5 bits each; 8 at the most come out of the 40 bits read. */
function digest(parts: readonly (string | number)[], length: number): string {
  const bytes = sha256(parts);
  let text = "";
  for (let bit = 0; text.length < length; bit += 5) {
    const word = ((bytes[bit >> 3] ?? 0) << 8) | (bytes[(bit >> 3) + 1] ?? 0);
    text += alphabet[(word >> (11 - (bit & 7))) & 31];
  }
  return text;
}

/** NUL between the parts: no two different lists hash the same text. */
function sha256(parts: readonly (string | number)[]): Buffer {
  return hash("sha256", parts.join("\0"), "buffer");
}
