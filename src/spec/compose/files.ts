import { dirname } from "node:path/posix";
import type { Budget } from "./budget.ts";
import { extended, type FileGuests } from "./extends.ts";
import type { Faults } from "./faults.ts";
import { frameTree } from "./frame.ts";
import { groupOf, guestTree, type GuestKind } from "./guest-tree.ts";
import type { Variables } from "./interpolate.ts";
import { merged } from "./merge.ts";
import { isQemuCompose, translated } from "./qemu-compose.ts";
import { readTree } from "./read-tree.ts";
import { hostPath, shownPath } from "./context.ts";
import { type Mapping, mapEntries, type Place, type Source, type Tree, under, withKey, withoutResets } from "./tree.ts";

type FilesOptions = {
  file: string;
  directory: string;
  variables: Variables;
  read: (path: string) => string | undefined;
  faults: Faults;
  budget: Budget;
};

type File = FileGuests & { tree: Mapping };

const kinds: readonly GuestKind[] = ["vm", "node", "sandbox"];

/** The files of a project: read once each, their guests' `extends` followed, and put over each other. */
export class Files {
  readonly #o: FilesOptions;
  readonly #opened = new Map<string, File | undefined>();
  #order = 0;

  constructor(options: FilesOptions) {
    this.#o = options;
  }

  /** All files as one tree, the first lowest; undefined when one could not be read, which is told. */
  merged(files: readonly { file: string; text: string }[]): Mapping | undefined {
    const trees = files.map(({ file, text }) => this.#read(text, { file, directory: this.#o.directory, order: this.#order++ }));
    let whole: Mapping | undefined;
    for (const file of trees) {
      if (file === undefined) return undefined;
      const tree = this.#withoutExtends(file);
      const result: Tree = whole === undefined ? tree : merged(whole, tree);
      whole = result.kind === "mapping" ? result : tree;
    }
    const left = whole === undefined ? undefined : withoutResets(whole);
    return left?.kind === "mapping" ? left : undefined;
  }

  #withoutExtends(file: File): Mapping {
    const open = (name: string, at: Place): FileGuests | undefined => this.#open(name, at);
    let { tree } = file;
    for (const kind of kinds) {
      const key = groupOf[kind];
      const guests = under(tree, key);
      if (guests?.kind !== "mapping") continue;
      tree = withKey(
        tree,
        key,
        mapEntries(guests, (guest, name) =>
          guest.kind === "mapping" ? extended({ file, kind, name }, { open, faults: this.#o.faults, budget: this.#o.budget }) : guest,
        ),
      );
    }
    return tree;
  }

  /** A file that `extends` names, from where it is named. */
  #open(name: string, at: Place): File | undefined {
    const { read, faults } = this.#o;
    const path = hostPath(this.#o, name, at.source);
    if (this.#opened.has(path)) return this.#opened.get(path);
    const text = read(path);
    const file = shownPath(this.#o, path);
    if (text === undefined) faults.add(at, { problem: `there is no file ${file}` });
    const opened = text === undefined ? undefined : this.#read(text, { file, directory: dirname(path), order: this.#order++ });
    this.#opened.set(path, opened);
    return opened;
  }

  #read(text: string, source: Source): File | undefined {
    const { variables, faults, budget } = this.#o;
    const qemu = isQemuCompose(source.file, text);
    // That tool puts no variables in.
    const read = readTree(text, { source, variables: qemu ? undefined : variables, faults, budget });
    const tree = read === undefined ? undefined : frameTree(read, faults);
    if (tree === undefined) return undefined;
    const own = qemu ? translated(tree, faults) : tree;
    const guests: Record<GuestKind, Map<string, Mapping>> = { vm: new Map(), node: new Map(), sandbox: new Map() };
    let whole = own;
    for (const kind of kinds) {
      const key = groupOf[kind];
      const group = under(own, key);
      if (group?.kind !== "mapping") continue;
      const named = mapEntries(group, (guest, name) => {
        if (guest.kind !== "mapping") return guest;
        const normal = guestTree(guest, { kind, path: [key, name], variables: qemu ? () => undefined : variables, faults });
        guests[kind].set(name, normal);
        return normal;
      });
      whole = withKey(whole, key, named);
    }
    return { file: source.file, guests, tree: whole };
  }
}
