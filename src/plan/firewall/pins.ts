import { type Ip, ipFamily, parseIp } from "../../base/ip.ts";
import { parsePort } from "../../base/port.ts";
import type { Element, FirewallChange } from "../../wire/nftables/model.ts";
import type { PinRecord } from "../records.ts";
import { addElements, deleteElements } from "./delta.ts";
import type { SetElement } from "./elements.ts";

/** Whether the kernel still has an element is not known for sure this near to its end, milliseconds. */
export const pinSlackMs = 2000;

/** TCP and UDP: HTTP/3 and NTP are as much of a name's port as HTTP is. */
export function pinElements({ source, address, port, names, leftMs }: PinRecord): SetElement[] {
  const set = `pinned${ipFamily(source)}`;
  const comment = commentOf(names);
  return [6, 17].map((protocol) => ({
    family: "inet",
    table: "nexus",
    set,
    element: { key: [source, protocol, address, port], ...(comment === "" ? {} : { comment }), lifeMs: leftMs },
  }));
}

/** A pin as it was last put into the kernel, if it was, and as it is to be. */
export type PinChange = { was: PinRecord | undefined; now: PinRecord | undefined };

/** One batch in which no packet finds an address unpinned that stays pinned. */
export function pinChanges(changes: readonly PinChange[]): FirewallChange[] {
  const had = changes.flatMap(({ was }) => (was === undefined ? [] : [was]));
  const doubtful = had.filter((pin) => pin.leftMs < pinSlackMs).map((pin) => ({ ...pin, leftMs: pinSlackMs }));
  return [
    // To delete what is not there would be refused, so it is there first.
    ...addElements(doubtful.flatMap(pinElements)),
    ...deleteElements(had.flatMap(pinElements)),
    ...addElements(changes.flatMap(({ now }) => (now === undefined ? [] : pinElements(now)))),
  ];
}

/** The pins that elements of the kernel's set stand for: what a daemon before this one let guests reach. */
export function pinsOf(elements: readonly Element[]): PinRecord[] {
  return elements.flatMap((element): PinRecord[] => {
    const [source, protocol, address, portNumber] = element.key;
    const [from, to, port] = [ipOf(source), ipOf(address), parsePort(portNumber as number)];
    if (protocol !== 6 || from === undefined || to === undefined || port === undefined) return [];
    return [{ source: from, address: to, port, names: element.comment?.split(" ") ?? [], leftMs: element.lifeMs ?? 0 }];
  });
}

/** What the kernel keeps beside an element has room for so many letters: names that do not fit are known until this process ends. */
const commentLetters = 251;

function commentOf(names: readonly string[]): string {
  return names.reduce((text, name) => {
    const longer = text === "" ? name : `${text} ${name}`;
    return longer.length > commentLetters ? text : longer;
  }, "");
}

function ipOf(part: Element["key"][number] | undefined): Ip | undefined {
  return typeof part === "string" ? parseIp(part) : undefined;
}
