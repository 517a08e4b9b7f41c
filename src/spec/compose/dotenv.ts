import type { Budget } from "./budget.ts";
import { interpolate, type Variables } from "./interpolate.ts";
import type { Faults } from "./faults.ts";
import { type Place, type Source, textAt, type Scalar } from "./tree.ts";

export type DotenvOptions = { source: Source; variables: Variables; faults: Faults; budget: Budget };

/**
 * A file of `NAME=value` lines, as .env and env_file: `#` comments, `export` before a name, 'as it is', "with \n and $VARIABLES" and plain
 * values with variables. A name alone takes its value from `variables`. A later line sees the earlier ones.
 */
export function readDotenv(text: string, options: DotenvOptions): Map<string, Scalar> {
  const { source, faults, budget } = options;
  const values = new Map<string, Scalar>();
  const variables: Variables = (name) => options.variables(name) ?? values.get(name)?.text;
  const lines = text.replace(/^\uFEFF/, "").split(/\r?\n/);
  for (let i = 0; i < lines.length; i++) {
    const line = lines[i] ?? "";
    const at = (col: number): Place => ({ source, line: i + 1, col });
    if (/^\s*(#|$)/.test(line)) continue;
    const [, before = "", name, equals] = /^(\s*(?:export\s+)?)([A-Za-z_][A-Za-z0-9_]*)\s*(=|$)/.exec(line) ?? [];
    if (name === undefined) {
      const col = line.length - line.trimStart().length + 1;
      faults.add(at(col), { problem: "is no NAME=value line", hint: "a name has letters, digits and _; # begins a comment" });
      continue;
    }
    const place = at(before.length + 1);
    if (equals === "") {
      const value = variables(name);
      if (value !== undefined) values.set(name, textAt(place, value));
      continue;
    }
    const start = line.indexOf("=", before.length) + 1;
    const quoted = quotedValue(lines, i, start);
    if (quoted === "open") {
      faults.add(place, { problem: `the value of ${name} has no closing quote` });
      break;
    }
    const raw =
      quoted?.text ??
      line
        .slice(start)
        .trim()
        .replace(/(^|\s+)#.*$/, "");
    if (quoted !== undefined) i = quoted.lastLine;
    const value = quoted?.quote === "'" ? raw : resolved(raw, { name, place, variables, faults, escaped: quoted !== undefined });
    if (!budget.take(place, { values: 1, characters: value.length })) break;
    values.set(name, textAt(place, value));
  }
  return values;
}

type Quoted = { quote: "'" | '"'; text: string; lastLine: number };

/** A quoted value, which may go over several lines. */
function quotedValue(lines: readonly string[], first: number, start: number): Quoted | "open" | undefined {
  const rest = (lines[first] ?? "").slice(start).trimStart();
  const quote = rest[0];
  if (quote !== "'" && quote !== '"') return undefined;
  let text = "";
  let line = rest.slice(1);
  for (let i = first; ; line = lines[++i] ?? "") {
    if (i >= lines.length) return "open";
    const end = closing(line, quote);
    if (end !== -1) return { quote, text: text + line.slice(0, end), lastLine: i };
    text += `${line}\n`;
  }
}

function closing(line: string, quote: string): number {
  for (let i = 0; i < line.length; i++) {
    if (line[i] === "\\" && quote === '"') i++;
    else if (line[i] === quote) return i;
  }
  return -1;
}

const escapes: Readonly<Record<string, string>> = { n: "\n", r: "\r", t: "\t", '"': '"', "\\": "\\", $: "$$" };

/** Escapes first: an escaped dollar sign becomes the doubled one that interpolation keeps. */
function resolved(raw: string, options: { name: string; place: Place; variables: Variables; faults: Faults; escaped: boolean }): string {
  const { name, place, variables, faults, escaped } = options;
  const plainText = escaped ? raw.replace(/\\([nrt"\\$])/g, (_, char: string) => escapes[char] ?? char) : raw;
  const { text, faults: wrong } = interpolate(plainText, variables);
  for (const { problem, hint } of wrong) faults.add(place, { path: name, problem, hint });
  return wrong.length === 0 ? text : "";
}
