import { isAlias, isMap, isScalar, isSeq, LineCounter, type Node, type Pair, parse, type Scalar as YamlScalar } from "yaml";
import { NexusError, SpecError } from "../../base/errors.ts";
import { readDocument } from "../yaml.ts";
import type { Budget } from "./budget.ts";
import type { Faults } from "./faults.ts";
import { interpolate, type Variables } from "./interpolate.ts";
import { type Entry, isReset, type Mark, mapping, type Place, type Scalar, type Source, type Tree } from "./tree.ts";

/** Values a file may come to when every alias is written out. */
const maxValues = 50_000;
const maxDepth = 64;
const marks: Readonly<Record<string, Mark>> = { "!override": "override", "!reset": "reset" };

export type ReadOptions = { source: Source; variables: Variables | undefined; faults: Faults; budget: Budget };

/**
 * A compose file as a tree, with variables put in (unless `variables` is undefined) and aliases and merge keys followed. What is wrong goes
 * to `faults`; undefined when nothing could be read.
 */
export function readTree(text: string, options: ReadOptions): Tree | undefined {
  const { source, faults, budget } = options;
  const start: Place = { source, line: 1, col: 1 };
  const lines = new LineCounter();
  try {
    const { document, faults: wrong } = readDocument(text, { lines, file: source.file, tags: new Set(Object.keys(marks)) });
    const reader = new Reader({ ...options, text, lines });
    for (const { offset, problem, hint } of wrong.slice(0, 20)) faults.add(reader.placeAt(offset), { problem, hint });
    if (document.errors.length > 0) return undefined;
    if (document.contents === null) return mapping(start);
    const { tree, ...amount } = reader.read(document.contents, 0);
    return budget.take(start, amount) ? tree : undefined;
  } catch (error) {
    if (error instanceof Unreadable) faults.add(start, { problem: error.message });
    else if (error instanceof SpecError) for (const { problem } of error.problems) faults.add(start, { problem });
    else if (error instanceof NexusError && error.code === "too-large") faults.add(start, { problem: "is larger than 1 MiB" });
    else throw error;
    return undefined;
  }
}

/** The whole file is refused. */
class Unreadable extends Error {}

/** `values` and `characters` are those of the tree with every alias written out. */
type Read = { tree: Tree; values: number; characters: number };

class Reader {
  readonly #o: ReadOptions & { text: string; lines: LineCounter };
  /** Each node once: what an alias names is read when its anchor is. */
  readonly #done = new Map<Node, Read | "being read">();
  /** The last node of each anchor's name so far. The parser's own search goes through the whole file for each alias. */
  readonly #anchors = new Map<string, Node>();

  constructor(options: ReadOptions & { text: string; lines: LineCounter }) {
    this.#o = options;
  }

  placeAt(offset: number): Place {
    const { line, col } = this.#o.lines.linePos(offset);
    return { source: this.#o.source, line: Math.max(line, 1), col: Math.max(col, 1) };
  }

  read(node: Node, depth: number): Read {
    if (depth > maxDepth) throw new Unreadable("is nested too deeply");
    const known = this.#done.get(node);
    if (known === "being read") throw new Unreadable("has an alias (*name) inside what it names");
    if (known !== undefined) return known;
    this.#done.set(node, "being read");
    if (!isAlias(node) && node.anchor !== undefined) this.#anchors.set(node.anchor, node);
    const read = this.#readNew(node, depth);
    if (read.values > maxValues) throw new Unreadable("uses aliases (*name) too often, or has too many values");
    this.#done.set(node, read);
    return read;
  }

  #readNew(node: Node, depth: number): Read {
    const mark = isAlias(node) || node.tag === undefined || !Object.hasOwn(marks, node.tag) ? undefined : marks[node.tag];
    const at = this.placeAt(node.range?.[0] ?? 0);
    if (mark === undefined) return this.#readValue(node, depth);
    const isNothing = isScalar(node) && node.type === "PLAIN" && node.source === "";
    // What stands after !reset counts for nothing, as in docker compose; and nothing in the place of a value takes it away.
    if (mark === "reset" || isNothing)
      return { tree: { kind: "scalar", mark: "reset", at, value: null, text: "" }, values: 1, characters: 0 };
    const read = this.#readValue(node, depth);
    return { ...read, tree: { ...read.tree, mark } };
  }

  #readValue(node: Node, depth: number): Read {
    const at = this.placeAt(node.range?.[0] ?? 0);
    if (isAlias(node)) {
      const named = this.#anchors.get(node.source);
      if (named === undefined) throw new Unreadable(`uses the alias *${node.source.slice(0, 40)} without its anchor`);
      return this.read(named, depth);
    }
    if (isScalar(node)) {
      const tree = this.#scalar(node, at);
      return { tree, values: 1, characters: tree.text.length };
    }
    if (isSeq(node)) {
      const items = node.items.map((item) => this.read(item as Node, depth + 1));
      return { tree: { kind: "list", at, items: items.map((item) => item.tree).filter((item) => !isReset(item)) }, ...sum(items) };
    }
    if (isMap(node)) return this.#mapping(node.items as Pair<Node, Node | null>[], at, depth);
    throw new Unreadable("has a value that is no text, list or mapping");
  }

  #mapping(pairs: readonly Pair<Node, Node | null>[], at: Place, depth: number): Read {
    const entries = new Map<string, Entry>();
    const reads: Read[] = [];
    const below: Tree[] = [];
    for (const { key, value } of pairs) {
      const keyAt = this.placeAt(key.range?.[0] ?? 0);
      const name = isScalar(key) ? String(key.value) : "";
      if (isScalar(key) && key.anchor !== undefined) this.#anchors.set(key.anchor, key);
      const read: Read =
        value === null
          ? { tree: { kind: "scalar", at: keyAt, value: null, text: "" }, values: 1, characters: 0 }
          : this.read(value, depth + 1);
      reads.push(read);
      if (name !== "<<") entries.set(name, { keyAt, value: read.tree });
      else if (read.tree.kind === "list") below.push(...read.tree.items);
      else below.push(read.tree);
    }
    // Merge keys (YAML 1.1 type/merge): what stands here wins, then the first of a list.
    for (const tree of below) {
      if (tree.kind !== "mapping") this.#o.faults.add(tree.at, { problem: "only mappings can be merged with <<" });
      else for (const [name, entry] of tree.entries) if (!entries.has(name)) entries.set(name, entry);
    }
    return { tree: { kind: "mapping", at, entries }, ...sum(reads) };
  }

  #scalar(node: YamlScalar, at: Place): Scalar {
    // Of a plain scalar with a tag the parser says no more than its text.
    const value: unknown = node.tag === "!override" && node.type === "PLAIN" ? parse(node.source ?? "") : node.value;
    if (typeof value === "string") return this.#text(node, value, at);
    if (typeof value === "number" || typeof value === "boolean") return { kind: "scalar", at, value, text: node.source ?? String(value) };
    if (value === null || value === undefined) return { kind: "scalar", at, value: null, text: "" };
    throw new Unreadable("has a value that is no text, list or mapping");
  }

  #text(node: YamlScalar, value: string, at: Place): Scalar {
    const { variables, faults, budget } = this.#o;
    if (variables === undefined || !value.includes("$")) return { kind: "scalar", at, value, text: value };
    const { text, faults: wrong, unset } = interpolate(value, variables);
    if (wrong.length > 0) faults.unread(at);
    for (const { index, problem, hint } of wrong) faults.add(this.#dollarAt(node, value, index), { problem, hint });
    for (const { index, name } of unset)
      faults.warn(this.#dollarAt(node, value, index), {
        problem: `the variable ${name} is not set and counts as empty`,
        hint: `\${${name}:-} says that this is meant`,
      });
    if (budget.take(at, { characters: text.length })) return { kind: "scalar", at, value: text, text };
    faults.unread(at);
    return { kind: "scalar", at, value: "", text: "" };
  }

  /** Where a dollar sign of a value stands in the file: quoting and folding move characters, but keep the number of dollar signs. */
  #dollarAt(node: YamlScalar, value: string, index: number): Place {
    const [start, end] = node.range ?? [0, 0];
    const body = isBlock(node) ? this.#o.text.indexOf("\n", start) + 1 : start;
    const raw = this.#o.text.slice(body, end);
    const dollars = [...raw.matchAll(/\$/g)];
    const before = value.slice(0, index).split("$").length - 1;
    const same = dollars.length === value.split("$").length - 1;
    return this.placeAt(same ? body + (dollars[before]?.index ?? 0) : start);
  }
}

function isBlock(node: YamlScalar): boolean {
  return node.type === "BLOCK_LITERAL" || node.type === "BLOCK_FOLDED";
}

function sum(reads: readonly Read[]): { values: number; characters: number } {
  let [values, characters] = [1, 0];
  for (const read of reads) {
    values += read.values;
    characters += read.characters;
  }
  return { values, characters };
}
