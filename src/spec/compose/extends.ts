import { amountOf, type Budget } from "./budget.ts";
import { present } from "./context.ts";
import type { Faults } from "./faults.ts";
import { type GuestKind, groupOf } from "./guest-tree.ts";
import { merged } from "./merge.ts";
import { isReset, type Mapping, type Place, type Tree, under, withKey } from "./tree.ts";
import { nearest } from "../nearest.ts";

/** The guests of one file, by kind, as guestTree leaves them. */
export type FileGuests = { file: string; guests: Readonly<Record<GuestKind, ReadonlyMap<string, Mapping>>> };

/** A file a guest extends one from, as `file:` names it at a place; undefined when it is not there or cannot be read, which is told. */
export type OpenFile = (name: string, at: Place) => FileGuests | undefined;

const maxChain = 32;

const words: Readonly<Record<GuestKind, string>> = { vm: "virtual machine", node: "node", sandbox: "sandbox" };
const kinds = Object.keys(words) as GuestKind[];

type Link = { file: FileGuests; kind: GuestKind; name: string };

/** A guest with what it extends put below it; the faults of the way there are told, a circle written out. */
export function extended(
  link: Link,
  options: { open: OpenFile; faults: Faults; budget: Budget; above?: readonly Link[] },
): Mapping | undefined {
  const { open, faults, budget, above = [] } = options;
  const own = link.file.guests[link.kind].get(link.name);
  const wish = under(own, "extends");
  if (own === undefined || wish === undefined) return own;
  const rest = withKey(own, "extends", undefined);
  if (isReset(wish)) return rest;
  const at = wish.at;
  const path = [groupOf[link.kind], link.name, "extends"];
  const { name, file: fileName } = wanted(wish);
  if (name === undefined) {
    faults.add(at, { path, problem: "must be a guest's name, or a mapping with service and file" });
    return rest;
  }
  for (const key of wish.kind === "mapping" ? wish.entries.keys() : [])
    if (key !== "service" && key !== "file")
      faults.add(wish.kind === "mapping" ? (wish.entries.get(key)?.keyAt ?? at) : at, {
        path: [...path, key],
        problem: "unknown key",
        hint: "known here: service, file",
      });
  const file = fileName === undefined ? link.file : open(fileName, under(wish, "file")?.at ?? at);
  if (file === undefined) return rest;
  const next: Link = { file, kind: link.kind, name };
  const chain = [...above, link];
  const round = chain.findIndex((one) => one.file.file === file.file && one.name === name);
  if (round !== -1 || chain.length > maxChain) {
    const steps = [...chain.slice(Math.max(round, 0)), next].map((one) =>
      one.file.file === link.file.file ? one.name : `${one.name} of ${one.file.file}`,
    );
    faults.add(at, { path, problem: round === -1 ? "extends guests without end" : `extends in a circle: ${steps.join(" -> ")}` });
    return rest;
  }
  if (!file.guests[link.kind].has(name)) {
    faults.add(at, {
      path,
      problem: `there is no ${words[link.kind]} "${name}"${fileName === undefined ? "" : ` in ${file.file}`}`,
      hint: meant(file, link.kind, name),
    });
    return rest;
  }
  const base = extended(next, { open, faults, budget, above: chain });
  if (base === undefined || !budget.take(at, amountOf(base))) return rest;
  const result = merged(base, rest);
  return result.kind === "mapping" ? result : rest;
}

function wanted(tree: Tree): { name?: string; file?: string } {
  const text = (one: Tree | undefined): string | undefined =>
    one?.kind === "scalar" && typeof one.value === "string" ? one.value : undefined;
  return tree.kind === "mapping"
    ? present({ name: text(under(tree, "service")), file: text(under(tree, "file")) })
    : present({ name: text(tree) });
}

function meant(file: FileGuests, kind: GuestKind, name: string): string | undefined {
  const near = nearest(name, [...file.guests[kind].keys()]);
  if (near !== undefined) return `did you mean ${near}?`;
  const other = kinds.find((one) => one !== kind && file.guests[one].has(name));
  return other === undefined ? undefined : `there is one under ${groupOf[other]}; a definition extends one of its own kind`;
}
