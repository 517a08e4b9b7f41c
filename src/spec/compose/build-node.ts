import { nodeSpec } from "../node.ts";
import {
  type Built,
  aliasesOf,
  attachmentsOf,
  guestLabels,
  guestName,
  type GuestPart,
  sharedParts,
  type Surroundings,
  finishedSpec,
} from "./build-guest.ts";
import { wantedVolume } from "./build-volumes.ts";
import { type Context, hostPath, partFault, partPlace, present } from "./context.ts";
import { type NodeEntry, nodeEntry } from "./guest-schema.ts";
import { hashed } from "./hash.ts";
import type { ProjectNode } from "./project.ts";
import { under } from "./tree.ts";
import { splitWords } from "./words.ts";

/** The network of nodes that name none. */
export const defaultNetwork = "default";

const writtenAs = { env: ["environment"], mem: ["memory"], health: ["healthcheck"], publish: ["ports"] };

/** A node of the project, or undefined with its faults told. */
export function buildNode(context: Context, given: GuestPart, around: Surroundings): Built<ProjectNode> | undefined {
  const names = guestName(context, given);
  const checked = context.faults.check(nodeEntry, given.tree, given.path);
  if (checked === undefined) return undefined;
  const entry = checked.value;
  const part = { ...given, tree: checked.tree };
  const { env, ...rest } = sharedParts(context, part, entry, around);
  const wishes = entry.networks ?? { [defaultNetwork]: { aliases: [], address: undefined, address6: undefined, mac: undefined } };
  const networks = attachmentsOf(context, part, { wishes, around }).map(({ network, key, wish }) => {
    for (const own of ["mac", "mac_address", "queues"])
      if (under(under(under(part.tree, "networks"), key), own) !== undefined)
        partFault(context, part, { at: ["networks", key, own], onKey: true, problem: "only a virtual machine's network card has this" });
    return { network, ...present({ address: wish.address, address6: wish.address6 }) };
  });
  const spec = {
    name: names.name,
    image: imageOf(context, part, entry),
    command: commandOf(context, part, entry),
    env,
    networks,
    publish: entry.ports,
    restart: entry.restart ?? "no",
    hostname: entry.hostname ?? names.service,
    volumes: volumesOf(context, part, { entry, around }),
    aliases: aliasesOf(names.service, entry),
    ...present({ health: entry.healthcheck, mem: entry.memory, cpu: entry.cpu, cpus: entry.cpus, pids: entry.pids, dns: entry.dns }),
  };
  const labels = guestLabels(context, names.service, entry.labels);
  const finished = finishedSpec(context, part, { schema: nodeSpec, spec: { ...spec, labels }, writtenAs });
  if (finished === undefined) return undefined;
  return { part, guest: { kind: "container", service: names.service, spec: hashed(finished), ...rest } };
}

function imageOf(context: Context, part: GuestPart, entry: NodeEntry): string {
  return /^(\.\.?|~)?\/|^\.\.?$|^~$/.test(entry.image) ? hostPath(context, entry.image, partPlace(part, ["image"]).source) : entry.image;
}

function commandOf(context: Context, part: GuestPart, { command = [] }: NodeEntry): string[] {
  if (typeof command !== "string") return command;
  const words = splitWords(command);
  if (Array.isArray(words)) return words;
  partFault(context, part, { at: ["command"], problem: words.fault });
  return [];
}

function volumesOf(context: Context, part: GuestPart, { entry, around }: { entry: NodeEntry; around: Surroundings }) {
  return entry.volumes.flatMap((wish, i) => {
    const { target, readOnly } = wish;
    if (target === undefined || wish.type === "disk") {
      partFault(context, part, { at: ["volumes", i], problem: "a node takes no disks, only directories and volumes" });
      return [];
    }
    if (entry.volumes.findIndex((one) => one.target === target) !== i)
      partFault(context, part, { at: ["volumes", i], problem: `another volume is at ${target} already` });
    if (wish.type === "bind") return [{ source: hostPath(context, wish.source, partPlace(part, ["volumes", i]).source), target, readOnly }];
    const volume = wantedVolume(context, part, { wish, i, around });
    return volume === undefined ? [] : [{ source: volume.volume.name, target, readOnly }];
  });
}
