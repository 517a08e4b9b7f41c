import { saysNothing } from "./frame.ts";
import { type Entry, isReset, type List, type Mapping, type Tree } from "./tree.ts";

/** Lists that grow instead of being replaced. */
const appended = new Set(["dns", "env_file", "profiles", "provision", "peers", "packages", "ssh_keys", "aliases"]);

/** Health checks are of one kind; a further definition's kind takes the place of the first's. */
const probes = ["test", "http", "tcp", "disable"];

/**
 * Two definitions of the same thing: mappings key by key, the second's values for the first's. Ports and volumes are replaced one by one (by
 * host port, by target), some lists are appended to, all others are replaced. What is marked takes the other's place whole, and what it took
 * away stays away from what is merged below later: its mark stays.
 */
export function merged(base: Tree, over: Tree, key = ""): Tree {
  if (base.kind === "mapping" && over.kind === "mapping") return mergedMapping(base, over, key);
  if (base.kind === "list" && over.kind === "list") {
    if (key === "ports") return keyedList(base, over, portKey);
    if (key === "volumes") return keyedList(base, over, volumeKey);
    if (key === "tmpfs") return keyedList(base, over, (tree) => (tree.kind === "scalar" ? tree.text.split(":")[0] : undefined));
    if (appended.has(key)) return keyedList(base, over, (tree) => (tree.kind === "scalar" ? tree.text : undefined));
  }
  return over;
}

function mergedMapping(base: Mapping, over: Mapping, key: string): Mapping {
  const entries = new Map<string, Entry>(base.entries);
  if (key === "healthcheck" && probes.some((probe) => over.entries.has(probe))) for (const probe of probes) entries.delete(probe);
  for (const [name, entry] of over.entries) {
    const before = entries.get(name);
    if (before !== undefined && saysNothing(entry.value)) continue;
    entries.set(name, before === undefined ? entry : { ...entry, value: put(before.value, entry.value, name) });
  }
  return { ...over, entries };
}

function put(below: Tree, value: Tree, key: string): Tree {
  if (value.mark !== undefined) return value;
  const result = isReset(below) ? value : merged(below, value, key);
  return below.mark === undefined ? result : { ...result, mark: "override" };
}

function keyedList(base: List, over: List, keyOf: (tree: Tree) => string | undefined): List {
  const items = [...base.items];
  const places = new Map<string, number>();
  for (const [i, item] of items.entries()) {
    const key = keyOf(item);
    if (key !== undefined) places.set(key, i);
  }
  for (const item of over.items) {
    const key = keyOf(item);
    const same = key === undefined ? undefined : places.get(key);
    if (same !== undefined) items[same] = item;
    else {
      if (key !== undefined) places.set(key, items.length);
      items.push(item);
    }
  }
  return { ...over, items };
}

/** Address, host port and protocol: what two guests cannot both have. */
function portKey(tree: Tree): string | undefined {
  if (tree.kind === "scalar") {
    const [, host, , protocol = "tcp"] = /^(.*):([^:/]*)(?:\/(.*))?$/.exec(tree.text) ?? [];
    return host === undefined ? undefined : `${host.includes(":") ? host : `:${host}`}/${protocol}`;
  }
  const text = (...keys: string[]): string | undefined => {
    for (const key of keys) {
      const value = tree.kind === "mapping" ? tree.entries.get(key)?.value : undefined;
      if (value?.kind === "scalar") return value.text;
    }
    return undefined;
  };
  const port = text("published", "hostPort");
  return port === undefined ? undefined : `${text("host_ip", "hostAddress") ?? ""}:${port}/${text("protocol") ?? "tcp"}`;
}

/** Where the guest sees it. */
function volumeKey(tree: Tree): string | undefined {
  if (tree.kind === "scalar") return tree.text.split(":")[1] ?? tree.text;
  const target = tree.kind === "mapping" ? tree.entries.get("target")?.value : undefined;
  return target?.kind === "scalar" ? target.text : undefined;
}
