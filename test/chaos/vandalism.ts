import type { GuestView, NetworkView } from "../../src/spec/views.ts";
import type { Dice } from "./dice.ts";
import { shTry } from "./host.ts";

export type Victims = { networks: readonly NetworkView[]; guests: readonly GuestView[] };

/** What other programs, or people, may do to things of ours. Gives it in words; undefined when there was nothing to do it to. */
export async function vandalise(dice: Dice, { networks, guests }: Victims): Promise<string | undefined> {
  const guest = dice.one(guests.filter((g) => g.state === "running"));
  const network = dice.one(networks);
  const deeds: (string[] | undefined)[] = [
    ...(network === undefined ? [] : ofBridge(network)),
    ...(guest === undefined ? [] : ofGuest(guest, dice)),
    ["nft", "delete", "table", "inet", "nexus"],
    ["nft", "delete", "table", "bridge", "nexus"],
    ["nft", "flush", "set", "bridge", "nexus", "mac"],
    ["nft", "flush", "chain", "inet", "nexus", "forward"],
  ];
  const deed = dice.one(deeds);
  if (deed === undefined) return undefined;
  const [program = "", ...args] = deed;
  return `${deed.join(" ")}: ${(await shTry(program, ...args)) ? "done" : "refused"}`;
}

function ofBridge({ bridge, subnets }: NetworkView): string[][] {
  const cidr = `${subnets[0]?.gateway}/${subnets[0]?.prefix.split("/")[1]}`;
  return [
    ["ip", "link", "del", bridge],
    ["ip", "link", "set", bridge, "down"],
    ["ip", "link", "set", bridge, "mtu", "1400"],
    ["ip", "link", "set", bridge, "group", "0"],
    ["ip", "addr", "del", cidr, "dev", bridge],
    ["ip", "addr", "add", "203.0.113.9/32", "dev", bridge],
  ];
}

function ofGuest(guest: GuestView, dice: Dice): string[][] {
  const nic = dice.one(guest.attachments);
  const netns = `nexus-${guest.name}`;
  if (nic === undefined) return [];
  return [
    ["ip", "link", "del", nic.hostInterface],
    ["ip", "link", "set", nic.hostInterface, "down"],
    ["ip", "link", "set", nic.hostInterface, "nomaster"],
    ["ip", "netns", "del", netns],
    ["ip", "-n", netns, "link", "set", nic.nic, "down"],
    ["ip", "-n", netns, "addr", "flush", "dev", nic.nic],
    ["ip", "-n", netns, "route", "flush", "default"],
    ["ip", "-n", netns, "link", "del", nic.nic],
    ["ip", "-n", netns, "link", "set", "lo", "down"],
    ["umount", `/run/netns/${netns}`],
  ];
}
