/** A variable's value, or undefined when it is not set. */
export type Variables = (name: string) => string | undefined;

/** What was found at a `$`; `index` is its offset in the text. */
export type VariableFault = { index: number; problem: string; hint?: string };

export type Interpolated = { text: string; faults: VariableFault[]; unset: { index: number; name: string }[] };

const maxNesting = 16;
/** Characters that variables may put into one text. */
const maxPutIn = 1024 * 1024;
/** Unset variables told of one text. */
const maxUnset = 10;

/**
 * `$NAME`, `${NAME}`, and with a word for a variable that is not set: `${NAME-word}`, `${NAME?message}`, `${NAME+word}`; with `:` before
 * the sign an empty one counts as not set. `$$` is a dollar sign. A word may have variables itself. (POSIX shell, 2.6.2.)
 */
export function interpolate(text: string, variables: Variables): Interpolated {
  const reading = new Reading(text, variables);
  const result = reading.run();
  return { text: result, faults: reading.faults, unset: reading.unset };
}

class Reading {
  readonly faults: VariableFault[] = [];
  readonly unset: { index: number; name: string }[] = [];
  readonly #text: string;
  readonly #variables: Variables;
  #at = 0;
  #putIn = 0;

  constructor(text: string, variables: Variables) {
    this.#text = text;
    this.#variables = variables;
  }

  run(): string {
    return this.#words(0, true);
  }

  /** Up to the end, or inside braces to the brace that closes them. `live` is false in a word that is not taken. */
  #words(depth: number, live: boolean): string {
    let out = "";
    while (this.#at < this.#text.length) {
      const char = this.#text[this.#at];
      if (depth > 0 && char === "}") return out;
      if (char === "$") out += this.#variable(depth, live);
      else {
        out += char;
        this.#at++;
      }
    }
    return out;
  }

  #variable(depth: number, live: boolean): string {
    const index = this.#at++;
    if (this.#take("$")) return "$";
    const braced = this.#take("{");
    const name = /^[A-Za-z_][A-Za-z0-9_]*/.exec(this.#text.slice(this.#at, this.#at + 256))?.[0];
    if (name === undefined) {
      const problem = braced ? "no variable's name stands after ${" : "no variable's name stands after $";
      return this.#fault({ index, problem, hint: "write $$ for a dollar sign" });
    }
    this.#at += name.length;
    if (!braced) return this.#plain(name, index, live);
    if (depth >= maxNesting) return this.#fault({ index, problem: "variables stand within variables too deeply" });
    const operator = /^:?[-?+]/.exec(this.#text.slice(this.#at, this.#at + 2))?.[0];
    this.#at += operator?.length ?? 0;
    if (operator === undefined && this.#text[this.#at] !== "}") return this.#unclosed(index, name);
    const value = this.#variables(name);
    const set = value !== undefined && !(operator?.startsWith(":") === true && value === "");
    const kind = operator?.at(-1);
    const takesWord = kind === "+" ? set : !set;
    const word = this.#words(depth + 1, live && takesWord && kind !== undefined);
    if (!this.#take("}")) return this.#fault({ index, problem: `the } after \${${name} is missing`, hint: "write $$ for a dollar sign" });
    if (kind === undefined) return this.#plain(name, index, live);
    if (kind === "?" && !set)
      return live ? this.#fault({ index, problem: `the variable ${name} is not set${word === "" ? "" : `: ${word.slice(0, 500)}`}` }) : "";
    if (kind === "+") return set ? word : "";
    return set ? this.#put(value, index) : word;
  }

  #plain(name: string, index: number, live: boolean): string {
    const value = this.#variables(name);
    if (value === undefined && live && this.unset.length < maxUnset) this.unset.push({ index, name });
    return this.#put(value ?? "", index);
  }

  /** Counted even in a word that is not taken: it is made all the same. */
  #put(value: string, index: number): string {
    this.#putIn += value.length;
    if (this.#putIn <= maxPutIn) return value;
    return this.#fault({ index, problem: `here variables have put more than ${maxPutIn / 1024 ** 2} MiB into one text` });
  }

  #unclosed(index: number, name: string): string {
    const closes = this.#text.indexOf("}", this.#at);
    if (closes === -1) return this.#fault({ index, problem: `the } after \${${name} is missing`, hint: "write $$ for a dollar sign" });
    return this.#fault({
      index,
      problem: `${this.#text.slice(index, Math.min(closes + 1, index + 40))} is not understood`,
      hint: "a variable is $NAME, ${NAME}, ${NAME:-word}, ${NAME:?message} or ${NAME:+word}; $$ is a dollar sign",
    });
  }

  #take(char: string): boolean {
    if (this.#text[this.#at] !== char) return false;
    this.#at++;
    return true;
  }

  /** The first fault of a text is told; what follows it is likely misread, and left. */
  #fault(fault: VariableFault): string {
    if (this.faults.length === 0) this.faults.push(fault);
    this.#at = this.#text.length;
    return "";
  }
}
