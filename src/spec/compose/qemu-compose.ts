import { basename } from "node:path/posix";
import { isFault, parseName } from "../../base/names.ts";
import type { Faults } from "./faults.ts";
import { madeName } from "./names.ts";
import { type Entry, type List, type Mapping, mapEntries, textAt, type Tree, under, withKey } from "./tree.ts";

/** What qemu-compose reads of a file; it passes over all other keys. */
const known = {
  file: ["vms", "networks", "volumes"],
  network: ["driver", "subnet"],
  volume: ["size"],
  vm: ["image", "cpu", "memory", "disk", "networks", "volumes", "ports", "depends_on", "environment", "provision", "healthcheck", "ssh"],
} as const;

/** By its file's name, or by the shape only its files have: `version` beside `vms`. */
export function isQemuCompose(file: string, text: string): boolean {
  if (basename(file).startsWith("nexus-compose")) return false;
  if (/^qemu-compose(\.[a-z0-9-]+)*\.ya?ml$/.test(basename(file)) || /^qemu-compose-.*\.ya?ml$/.test(basename(file))) return true;
  return /^version\s*:/m.test(text) && /^vms\s*:/m.test(text) && !/^(nodes|name)\s*:/m.test(text);
}

/**
 * A qemu-compose file as one of ours: keys it does not know are passed over (which is told as a warning), names that are none are made
 * some, a source with a "/" is a directory, and an SSH port is for user mode.
 */
export function translated(tree: Mapping, faults: Faults): Mapping {
  const pick = (part: Mapping, keys: readonly string[], path: readonly string[]): Mapping => {
    for (const [key, { keyAt }] of part.entries)
      if (!keys.includes(key) && !(path.length === 0 && key === "version"))
        faults.warn(keyAt, { path: [...path, key], problem: "is passed over, as qemu-compose does" });
    return { ...part, entries: new Map([...part.entries].filter(([key]) => keys.includes(key))) };
  };
  return mapEntries(pick(tree, known.file, []), (group, key) => {
    if (group.kind !== "mapping") return group;
    const members = mapEntries(group, (member, name) => {
      if (member.kind !== "mapping") return member;
      if (key === "networks") return network(pick(member, known.network, [key, name]));
      return key === "volumes"
        ? pick(member, known.volume, [key, name])
        : machine(pick(member, known.vm, [key, name]), { path: [key, name], faults });
    });
    return key === "volumes" ? members : renamed(members, faults);
  });
}

/** Names of machines and networks, which may have "_" and capitals there. */
function renamed(group: Mapping, faults: Faults): Mapping {
  const entries = new Map<string, Entry>();
  for (const [name, entry] of group.entries) {
    const fit = nameFor(name);
    if (fit !== name) faults.warn(entry.keyAt, { path: name, problem: `is called ${fit} here` });
    entries.set(entries.has(fit) ? name : fit, entry);
  }
  return { ...group, entries };
}

function nameFor(name: string): string {
  return isFault(parseName(name)) ? (madeName(name) ?? name) : name;
}

/** An empty subnet means auto there. */
function network(tree: Mapping): Mapping {
  const subnet = under(tree, "subnet");
  return subnet?.kind === "scalar" && subnet.value === "" ? withKey(tree, "subnet", undefined) : tree;
}

function machine(tree: Mapping, { path, faults }: { path: readonly string[]; faults: Faults }): Mapping {
  const networks = under(tree, "networks");
  const bridged = networks?.kind === "list" && networks.items.length > 0;
  const port = under(under(tree, "ssh"), "port");
  if (bridged && port !== undefined)
    faults.warn(port.at, {
      path: [...path, "ssh", "port"],
      problem: "is for user mode; on a network the machine is reached by its address",
    });
  const whole = mapEntries(tree, (value, key) => {
    if (value.kind !== "list") return key === "ssh" && (bridged || isZero(port)) ? undefined : value;
    switch (key) {
      case "networks":
      case "depends_on":
        return mapTexts(value, nameFor);
      case "volumes":
        return { ...value, items: value.items.map(volume) };
      default:
        return value;
    }
  });
  return whole;
}

function isZero(port: Tree | undefined): boolean {
  return port?.kind === "scalar" && port.value === 0;
}

/** There a source with a slash or a dot before it is a directory, wherever it is. */
function volume(tree: Tree): Tree {
  const asPath = (source: string): string => (/^[/.]/.test(source) || !/[/\\]/.test(source) ? source : `./${source}`);
  if (tree.kind === "scalar" && typeof tree.value === "string") {
    const [source = "", ...rest] = tree.value.split(":");
    return textAt(tree.at, [asPath(source), ...rest].join(":"));
  }
  const source = under(tree, "source");
  return tree.kind === "mapping" && source?.kind === "scalar" ? withKey(tree, "source", textAt(source.at, asPath(source.text))) : tree;
}

function mapTexts(list: List, change: (text: string) => string): List {
  return {
    ...list,
    items: list.items.map((item) =>
      item.kind === "scalar" && typeof item.value === "string" ? textAt(item.at, change(item.value)) : item,
    ),
  };
}
