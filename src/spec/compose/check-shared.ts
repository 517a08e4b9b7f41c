import { isUnspecified } from "../../base/ip.ts";
import type { PublishSpec } from "../node.ts";
import { guestWord, type GuestPart } from "./build-guest.ts";
import { type Context, partFault } from "./context.ts";
import { type Tree, under } from "./tree.ts";
import { activeGuests, guestsOf, type Project, type ProjectGuest } from "./project.ts";

/** Tells what two guests want for themselves: host ports, and disks they write to; and ports nothing can lead to. */
export function checkShared(context: Context, project: Project, parts: ReadonlyMap<string, GuestPart>): void {
  checkWays(context, project, parts);
  checkPorts(context, project, parts);
  checkVolumes(context, project, parts);
}

/** A port is published through a network that is not internal; only a machine in user mode needs none. */
function checkWays(context: Context, project: Project, parts: ReadonlyMap<string, GuestPart>): void {
  const networks = new Map([...project.networks.values()].map((network) => [network.name, network]));
  for (const guest of guestsOf(project)) {
    const part = parts.get(guest.service);
    const names = (guest.spec.networks ?? []).map(({ network }) => network);
    if (part === undefined || guest.spec.publish.length === 0 || (guest.kind === "vm" && names.length === 0)) continue;
    const asked = under(part.tree, "networks");
    // One that is not there is told already.
    if (asked?.kind === "mapping" && asked.entries.size > names.length) continue;
    if (names.some((name) => networks.get(name)?.spec?.internal !== true)) continue;
    const problem =
      names.length === 0 ? "a guest without networks publishes nothing" : "ports cannot be published from internal networks only";
    partFault(context, part, { at: ["ports"], onKey: true, problem, hint: "put the guest on a network that is not internal as well" });
  }
}

type Taken = { guest: ProjectGuest; i: number; port: PublishSpec; last: number; at: readonly PropertyKey[] };

/** In the order of the ports, so that only those that overlap meet. */
function checkPorts(context: Context, project: Project, parts: ReadonlyMap<string, GuestPart>): void {
  const all = activeGuests(project).flatMap((guest): Taken[] => {
    const ssh =
      guest.kind === "vm" && guest.spec.sshPort !== undefined
        ? [{ guest, i: -1, port: sshPort(guest.spec.sshPort), last: guest.spec.sshPort, at: ["ssh", "port"] }]
        : [];
    return [
      ...ssh,
      ...guest.spec.publish.map((port, i) => ({ guest, i, port, last: port.hostPortEnd ?? port.hostPort, at: ["ports", i] })),
    ];
  });
  let open: Taken[] = [];
  for (const next of all.toSorted((a, b) => a.port.hostPort - b.port.hostPort)) {
    open = open.filter((one) => one.last >= next.port.hostPort);
    const other = open.find((one) => one.port.protocol === next.port.protocol && meet(one.port.hostAddress, next.port.hostAddress));
    const part = parts.get(next.guest.service);
    if (other === undefined) open.push(next);
    else if (part !== undefined) {
      const whose = other.guest === next.guest ? "published by this guest" : `published by ${guestWord(other.guest)}`;
      partFault(context, part, { at: next.at, problem: `host port ${next.port.hostPort}/${next.port.protocol} is ${whose} already` });
    }
  }
}

function sshPort(port: number): PublishSpec {
  return { protocol: "tcp", hostAddress: "127.0.0.1", hostPort: port, guestPort: 22 } as PublishSpec;
}

/** No address, and 0.0.0.0 or ::, stand for all. */
function meet(a: PublishSpec["hostAddress"], b: PublishSpec["hostAddress"]): boolean {
  return a === undefined || b === undefined || isUnspecified(a) || isUnspecified(b) || a === b;
}

type Use = { guest: ProjectGuest; i: number; readOnly: boolean; disk: boolean };

function checkVolumes(context: Context, project: Project, parts: ReadonlyMap<string, GuestPart>): void {
  const uses = new Map<string, Use>();
  for (const guest of guestsOf(project)) {
    const part = parts.get(guest.service);
    if (part === undefined) continue;
    for (const [i, { source, readOnly }] of sourcesOf(guest).entries()) {
      const disk = guest.kind === "vm" && guest.spec.disks.some((one) => one.source === source);
      const before = uses.get(source);
      if (before === undefined || (before.readOnly && !readOnly)) uses.set(source, { guest, i, readOnly, disk });
      if (before === undefined) continue;
      const twice = before.guest === guest;
      const at = ["volumes", placeIn(part, { project, source, last: twice }) ?? 0];
      const whose = guestWord(before.guest);
      if (before.disk !== disk && !source.startsWith("/"))
        partFault(context, part, {
          at,
          problem: `${whose} has this volume as a ${before.disk ? "disk" : "directory"}; it cannot be a ${disk ? "disk" : "directory"} too`,
          hint: "virtual machines get volumes as disks, nodes as directories",
        });
      else if (disk && !readOnly && !before.readOnly)
        partFault(context, part, {
          at,
          problem: twice
            ? "this machine has the disk already"
            : `${whose} writes to this disk too; two machines that do destroy its file system`,
          hint: twice ? "leave one out" : "make it :ro in all but one",
        });
    }
  }
}

function sourcesOf(guest: ProjectGuest): { source: string; readOnly: boolean }[] {
  return guest.kind === "vm" ? [...guest.spec.disks, ...guest.spec.shares] : guest.spec.volumes;
}

/** Which entry of the guest's `volumes` has this source. */
function placeIn(part: GuestPart, { project, source, last }: { project: Project; source: string; last: boolean }): number | undefined {
  const list = part.tree.entries.get("volumes")?.value;
  if (list?.kind !== "list") return undefined;
  const key = [...project.volumes].find(([, volume]) => volume.name === source)?.[0] ?? source;
  const has = (item: Tree): boolean => {
    const value = item.kind === "mapping" ? item.entries.get("source")?.value : item;
    return value?.kind === "scalar" && (value.text === key || value.text.startsWith(`${key}:`));
  };
  const found = last ? list.items.findLastIndex(has) : list.items.findIndex(has);
  return found === -1 ? undefined : found;
}
