import type { Faults } from "./faults.ts";
import { isReset, mapEntries, mapping, type Mapping, type Tree } from "./tree.ts";

/** The groups of a file whose members may have nothing after their name. */
const groups = new Set(["vms", "nodes", "sandboxes", "networks", "volumes"]);

const most: Readonly<Record<string, number>> = { vms: 1024, nodes: 4096, sandboxes: 256, networks: 1024, volumes: 4096 };

/** A file's outermost mapping without what may stand anywhere: x- keys, and nothing at all where a definition could be. */
export function frameTree(tree: Tree, faults: Faults): Mapping | undefined {
  if (tree.kind === "scalar" && tree.value === null) return mapping(tree.at);
  if (tree.kind !== "mapping") {
    faults.add(tree.at, { problem: `must be a mapping, not ${tree.kind === "list" ? "a list" : JSON.stringify(tree.value).slice(0, 60)}` });
    return undefined;
  }
  return mapEntries(tree, (value, key) => {
    if (isReset(value)) return value;
    if (key.startsWith("x-") || saysNothing(value)) return undefined;
    if (!groups.has(key) || value.kind !== "mapping") return value;
    const limit = most[key] ?? 0;
    if (value.entries.size > limit)
      faults.add(value.at, { path: key, problem: `has ${value.entries.size} entries; at most ${limit} are possible` });
    return mapEntries(value, (member, name) => {
      if (isReset(member)) return member;
      return member.kind === "scalar" && member.value === null
        ? mapping(tree.entries.get(key)?.value === value ? (value.entries.get(name)?.keyAt ?? member.at) : member.at)
        : withoutNotes(member);
    });
  });
}

/** Without x- keys and keys that say nothing. */
function withoutNotes(tree: Tree): Tree {
  if (tree.kind !== "mapping") return tree;
  return mapEntries(tree, (value, key) => (key.startsWith("x-") || saysNothing(value) ? undefined : value));
}

/** Nothing stands after its key. */
export function saysNothing(tree: Tree): boolean {
  return tree.kind === "scalar" && tree.value === null && !isReset(tree);
}
