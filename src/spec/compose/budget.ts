import type { Faults } from "./faults.ts";
import type { Place, Tree } from "./tree.ts";

/** Values all definitions of a project may have, and characters its text may come to: no project people write has a tenth of them. */
const most = { values: 500_000, characters: 64 * 1024 * 1024 };

export type Amount = { values?: number; characters?: number };

/**
 * What a project comes to once its aliases, variables, `extends` and the files it names are written out. A short file can ask for any amount
 * of each; so all of it is counted where it is made, and beyond the bound nothing more is.
 */
export class Budget {
  readonly #faults: Faults;
  readonly #spent = { values: 0, characters: 0 };
  #over = false;

  constructor(faults: Faults) {
    this.#faults = faults;
  }

  /** False when this is too much, or something before it was; the first of them is told, at its place. */
  take(at: Place, { values = 0, characters = 0 }: Amount): boolean {
    if (this.#over) return false;
    this.#spent.values += values;
    this.#spent.characters += characters;
    const much =
      this.#spent.values > most.values
        ? `${most.values} values`
        : this.#spent.characters > most.characters
          ? `${most.characters / 1024 ** 2} MiB of text`
          : undefined;
    if (much === undefined) return true;
    this.#over = true;
    this.#faults.add(at, {
      problem: `here the project comes to more than ${much}`,
      hint: "aliases, variables, extends and files that are named often all add to it",
    });
    return false;
  }
}

/** What a tree has, aliases written out. It may be as large as one file's tree, whose reader bounds that. */
export function amountOf(tree: Tree): Required<Amount> {
  const amount = { values: 0, characters: 0 };
  const count = (one: Tree): void => {
    amount.values++;
    if (one.kind === "scalar") amount.characters += one.text.length;
    else if (one.kind === "list") one.items.forEach(count);
    else for (const { value } of one.entries.values()) count(value);
  };
  count(tree);
  return amount;
}
