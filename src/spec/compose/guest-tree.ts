import type { Faults } from "./faults.ts";
import type { Variables } from "./interpolate.ts";
import { saysNothing } from "./frame.ts";
import { type Entry, isReset, type Mapping, mapEntries, mapping, textAt, type Tree, under, withKey } from "./tree.ts";

export type GuestKind = "vm" | "node" | "sandbox";

/** Where each kind stands in a file. */
export const groupOf = { vm: "vms", node: "nodes", sandbox: "sandboxes" } as const satisfies Record<GuestKind, string>;

/** Second names of keys, from the specs the daemon takes and from other tools. */
const aliases: Readonly<Record<GuestKind, Readonly<Record<string, string>>>> = {
  vm: { cpu: "cpus", mem: "memory", env: "environment", publish: "ports" },
  node: { mem: "memory", env: "environment", publish: "ports" },
  sandbox: { mem: "memory", env: "environment" },
};

export function keyAliases(kind: GuestKind): Readonly<Record<string, string>> {
  return aliases[kind];
}

/**
 * A guest with every key by its first name and every list that is a mapping in disguise as one: so that definitions can be merged key by
 * key, wherever they come from.
 */
export function guestTree(
  tree: Mapping,
  options: { kind: GuestKind; path: readonly string[]; variables: Variables; faults: Faults },
): Mapping {
  const { kind, path, variables, faults } = options;
  const entries = new Map<string, Entry>();
  const given = new Map<string, string>();
  for (const [key, entry] of tree.entries) {
    if (key.startsWith("x-") || saysNothing(entry.value)) continue;
    const name = Object.hasOwn(aliases[kind], key) ? (aliases[kind][key] ?? key) : key;
    const first = given.get(name);
    if (first !== undefined) {
      faults.add(entry.keyAt, { path: [...path, key], problem: `says the same as ${first}, which is given too` });
      continue;
    }
    given.set(name, key);
    entries.set(name, entry);
  }
  const named = { ...tree, entries };
  return mapEntries(named, (value, key) => {
    if (isReset(value)) return value;
    const normal = normalValue(value, key);
    return value.mark === undefined ? normal : { ...normal, mark: value.mark };
  });

  function normalValue(value: Tree, key: string): Tree {
    switch (key) {
      case "environment":
      case "labels":
        return assignments(value, variables);
      case "depends_on":
        return keyed(value, { path: [...path, key], faults });
      case "networks":
        return keyed(value, { path: [...path, key], faults, nameKey: "network" });
      case "env_file":
      case "dns":
      case "tmpfs":
        return value.kind === "list" ? value : { kind: "list", at: value.at, items: [value] };
      default:
        return value;
    }
  }
}

/** `NAME=value` items, or a mapping, as a mapping of text. A name without a value takes it from the variables, or is left out. */
export function assignments(tree: Tree, variables: Variables): Tree {
  if (tree.kind === "mapping")
    return mapEntries(tree, (value, name) => {
      if (value.kind !== "scalar" || typeof value.value === "string" || isReset(value)) return value;
      if (value.value !== null) return textAt(value.at, value.text);
      const taken = variables(name);
      return taken === undefined ? undefined : textAt(value.at, taken);
    });
  if (tree.kind !== "list" || !tree.items.every((item) => item.kind === "scalar" && typeof item.value === "string")) return tree;
  const entries: [string, Entry][] = [];
  for (const item of tree.items) {
    const text = item.kind === "scalar" ? item.text : "";
    const equals = text.indexOf("=");
    const name = equals === -1 ? text : text.slice(0, equals);
    const value = equals === -1 ? variables(name) : text.slice(equals + 1);
    if (value !== undefined) entries.push([name, { keyAt: item.at, value: textAt(item.at, value) }]);
  }
  return mapping(tree.at, entries);
}

/** A list of names (or of mappings that hold one) as a mapping by name. */
function keyed(tree: Tree, options: { path: readonly PropertyKey[]; faults: Faults; nameKey?: string }): Tree {
  const { path, faults, nameKey } = options;
  // A mapping's names without more (`front:`) have an empty mapping.
  if (tree.kind === "mapping") return mapEntries(tree, (value) => (saysNothing(value) ? mapping(value.at) : value));
  if (tree.kind !== "list") return tree;
  const entries = new Map<string, Entry>();
  for (const [i, item] of tree.items.entries()) {
    const name = nameKey !== undefined && item.kind === "mapping" ? under(item, nameKey) : item;
    if (name?.kind !== "scalar" || typeof name.value !== "string") return tree;
    if (entries.has(name.value)) faults.add(name.at, { path: [...path, i], problem: `"${name.value}" is there twice` });
    const rest = item.kind === "mapping" && nameKey !== undefined ? withKey(item, nameKey, undefined) : mapping(item.at);
    entries.set(name.value, { keyAt: name.at, value: rest });
  }
  return { kind: "mapping", at: tree.at, entries };
}
