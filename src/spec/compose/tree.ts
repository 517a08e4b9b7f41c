/** A file as it was read: values with the place each stands at, so that merged and extended definitions still know where they came from. */

export type Source = {
  /** As it is named in messages. */
  file: string;
  /** What relative paths in it are meant from; absolute. */
  directory: string;
  /** The order in which faults are told. */
  order: number;
};

export type Place = { source: Source; line: number; col: number };

/** How a value is put over the one below it: not merged but in its place, or taking it away. Docker compose's tags `!override` and `!reset`. */
export type Mark = "override" | "reset";

export type Scalar = {
  kind: "scalar";
  mark?: Mark;
  at: Place;
  value: string | number | boolean | null;
  /** As it is written: `1.10` stays `1.10` where text is wanted. */
  text: string;
};
export type Mapping = { kind: "mapping"; mark?: Mark; at: Place; entries: ReadonlyMap<string, Entry> };
export type List = {
  kind: "list";
  mark?: Mark;
  at: Place;
  items: readonly Tree[];
  /** When some items were left out: where each stood. */
  numbers?: readonly number[];
};
export type Tree = Scalar | Mapping | List;
export type Entry = { keyAt: Place; value: Tree };

export function placeText({ source, line, col }: Place): string {
  return `${source.file}:${line}:${col}`;
}

export function mapping(at: Place, entries: Iterable<readonly [string, Entry]> = []): Mapping {
  return { kind: "mapping", at, entries: new Map(entries) };
}

export function textAt(at: Place, text: string): Scalar {
  return { kind: "scalar", at, value: text, text };
}

/** The value under a key, or undefined when this is no mapping or has no such key. */
export function under(tree: Tree | undefined, key: string): Tree | undefined {
  return tree?.kind === "mapping" ? tree.entries.get(key)?.value : undefined;
}

/** The same mapping with one value exchanged, added or (undefined) left out. */
export function withKey(tree: Mapping, key: string, value: Tree | undefined): Mapping {
  const entries = new Map(tree.entries);
  if (value === undefined) entries.delete(key);
  else entries.set(key, { keyAt: entries.get(key)?.keyAt ?? value.at, value });
  return { ...tree, entries };
}

/** Every value of a mapping made anew; undefined leaves the key out. */
export function mapEntries(tree: Mapping, change: (value: Tree, key: string) => Tree | undefined): Mapping {
  const entries = new Map<string, Entry>();
  for (const [key, entry] of tree.entries) {
    const value = change(entry.value, key);
    if (value !== undefined) entries.set(key, { ...entry, value });
  }
  return { ...tree, entries };
}

/** A value that takes away what is below it. */
export function isReset(tree: Tree): boolean {
  return tree.mark === "reset";
}

/** The tree without what was taken away. */
export function withoutResets(tree: Tree): Tree {
  switch (tree.kind) {
    case "scalar":
      return tree;
    case "list":
      return { ...tree, items: tree.items.map(withoutResets) };
    case "mapping":
      return mapEntries(tree, (value) => (isReset(value) ? undefined : withoutResets(value)));
  }
}

/** Plain JSON, for schemas. */
export function plain(tree: Tree): unknown {
  switch (tree.kind) {
    case "scalar":
      return tree.value;
    case "list":
      return tree.items.map(plain);
    case "mapping": {
      const value: Record<string, unknown> = {};
      // Not by assignment: "__proto__" is a key like any other.
      for (const [key, entry] of tree.entries)
        Object.defineProperty(value, key, { value: plain(entry.value), enumerable: true, writable: true, configurable: true });
      return value;
    }
  }
}

/** Where a path's value, or its key, stands; of what is missing, the nearest that is there above it. */
export function placeOf(tree: Tree, path: readonly PropertyKey[], onKey = false): Place {
  let here: Tree = tree;
  let at = tree.at;
  for (const [depth, step] of path.entries()) {
    const entry: Entry | undefined = here.kind === "mapping" ? here.entries.get(String(step)) : undefined;
    const next: Tree | undefined = here.kind === "list" ? here.items[Number(step)] : entry?.value;
    if (next === undefined) return at;
    at = onKey && entry !== undefined && depth === path.length - 1 ? entry.keyAt : next.at;
    here = next;
  }
  return at;
}

/** The mapping without what stands at these paths: members of its values, or with `depth` 1 the values themselves. */
export function without(tree: Mapping, paths: readonly (readonly PropertyKey[])[], depth: 1 | 2): Mapping {
  const faulty = new Map<string, Set<string> | "all">();
  for (const [key, member] of paths) {
    const name = String(key);
    const before = faulty.get(name);
    if (depth === 1 || member === undefined || before === "all") faulty.set(name, "all");
    else faulty.set(name, (before ?? new Set()).add(String(member)));
  }
  return mapEntries(tree, (value, key) => {
    const out = faulty.get(key);
    if (out === undefined) return value;
    if (out === "all" || value.kind === "scalar") return undefined;
    if (value.kind === "mapping") return mapEntries(value, (member, name) => (out.has(name) ? undefined : member));
    const left = value.items.flatMap((item, i) => (out.has(String(i)) ? [] : [{ item, i }]));
    return { ...value, items: left.map(({ item }) => item), numbers: left.map(({ i }) => i) };
  });
}

/** A path as it is in the file, where items before it were left out. */
export function writtenPath(tree: Tree, path: readonly PropertyKey[]): PropertyKey[] {
  let here: Tree | undefined = tree;
  return path.map((step) => {
    const list: Tree | undefined = here;
    here = list?.kind === "list" ? list.items[Number(step)] : under(list, String(step));
    return list?.kind === "list" ? (list.numbers?.[Number(step)] ?? step) : step;
  });
}
