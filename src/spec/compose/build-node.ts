import { nodeSpec, type NodeTmpfs } from "../node.ts";
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
    return { network, ...present({ address: wish.address, address6: wish.address6, egress: wish.egress }) };
  });
  const spec = {
    name: names.name,
    image: imageOf(context, part, entry.image),
    command: commandOf(context, part, entry.command) ?? [],
    env,
    networks,
    publish: entry.ports,
    restart: entry.restart ?? "no",
    hostname: entry.hostname ?? names.service,
    ...volumesOf(context, part, { entry, around }),
    aliases: aliasesOf(names.service, entry),
    ...present({ health: entry.healthcheck, mem: entry.memory, cpu: entry.cpu, cpus: entry.cpus, pids: entry.pids, dns: entry.dns }),
  };
  const labels = guestLabels(context, names.service, entry.labels);
  const finished = finishedSpec(context, part, { schema: nodeSpec, spec: { ...spec, labels }, writtenAs });
  if (finished === undefined) return undefined;
  return { part, guest: { kind: "container", service: names.service, spec: hashed(finished), ...rest } };
}

/** A path is meant from the file. */
export function imageOf(context: Context, part: GuestPart, image: string): string {
  return /^(\.\.?|~)?\/|^\.\.?$|^~$/.test(image) ? hostPath(context, image, partPlace(part, ["image"]).source) : image;
}

/** A list as it is, a line split as a shell does; undefined with its fault told. */
export function commandOf(context: Context, part: GuestPart, command: string | string[] = []): string[] | undefined {
  if (typeof command !== "string") return command;
  const words = splitWords(command);
  if (Array.isArray(words)) return words;
  partFault(context, part, { at: ["command"], problem: words.fault });
  return undefined;
}

function volumesOf(context: Context, part: GuestPart, { entry, around }: { entry: NodeEntry; around: Surroundings }) {
  const volumes: { source: string; target: string; readOnly: boolean }[] = [];
  const tmpfs: NodeTmpfs[] = [];
  const targets = new Set<string>();
  const claim = (at: [string, number], target: string): void => {
    if (targets.has(target)) partFault(context, part, { at, problem: `another volume is at ${target} already` });
    targets.add(target);
  };
  for (const [i, wish] of entry.volumes.entries()) {
    if (wish.type === "tmpfs") {
      claim(["volumes", i], wish.tmpfs.target);
      tmpfs.push(wish.tmpfs);
      continue;
    }
    const { target, readOnly } = wish;
    if (target === undefined || wish.type === "disk") {
      partFault(context, part, { at: ["volumes", i], problem: "a node takes no disks, only directories and volumes" });
      continue;
    }
    claim(["volumes", i], target);
    const source =
      wish.type === "bind"
        ? hostPath(context, wish.source, partPlace(part, ["volumes", i]).source)
        : wantedVolume(context, part, { wish, i, around })?.volume.name;
    if (source !== undefined) volumes.push({ source, target, readOnly });
  }
  for (const [i, one] of entry.tmpfs.entries()) {
    claim(["tmpfs", i], one.target);
    tmpfs.push(one);
  }
  return { volumes, ...(tmpfs.length === 0 ? {} : { tmpfs }) };
}
