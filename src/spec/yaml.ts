import {
  type Document,
  isAlias,
  isMap,
  isNode,
  isScalar,
  isSeq,
  Lexer,
  LineCounter,
  type Node,
  parseDocument,
  visit,
  type YAMLError,
} from "yaml";
import type { z } from "zod";
import { NexusError, SpecError, type SpecProblem } from "../base/errors.ts";
import { check } from "./problems.ts";

/** Larger files are no configuration. */
const maxBytes = 1024 * 1024;
/** The parser makes up to a kilobyte of each token, be it a comma. */
const maxTokens = 400_000;

/**
 * One YAML 1.2 document against a schema; an empty one is an empty mapping. `file` is only named.
 * @throws SpecError with every problem at once, each with `file:line:col`; NexusError too-large above 1 MiB
 */
export function parseYaml<T extends z.ZodType>(schema: T, text: string, file: string): z.output<T> {
  const lines = new LineCounter();
  const placeOf = (offset: number): string => {
    const { line, col } = lines.linePos(offset);
    return `${file}:${Math.max(line, 1)}:${Math.max(col, 1)}`;
  };
  const { document, faults } = readDocument(text, { lines, file });
  // After a real syntax error the rest may be misread; a doubled key or unknown tag leaves it whole.
  if (document.errors.length > 0) throw placed(faults.slice(0, 20), placeOf);
  const result = check(schema, plainValue(document, file) ?? {});
  if ("value" in result && faults.length === 0) return result.value;
  const wrong = "problems" in result ? result.problems : [];
  throw placed([...faults, ...wrong.map(({ at, onKey, ...problem }) => ({ ...problem, offset: offsetOf(document, at, onKey) }))], placeOf);
}

type OffsetProblem = SpecProblem & { offset: number };

/** In the order of the file. */
function placed(problems: readonly OffsetProblem[], placeOf: (offset: number) => string): SpecError {
  return new SpecError(
    problems.toSorted((a, b) => a.offset - b.offset).map(({ offset, ...problem }) => ({ ...problem, place: placeOf(offset) })),
  );
}

/** `tags` are those the caller looks at itself; any other that is not YAML's own is a fault. */
export type ReadOptions = { lines: LineCounter; file: string; tags?: ReadonlySet<string> };

/**
 * The document as the parser sees it, with what it complains of.
 * @throws SpecError when it is nested without end; NexusError too-large above 1 MiB
 */
export function readDocument(text: string, { lines, file, tags }: ReadOptions): { document: Document.Parsed; faults: OffsetProblem[] } {
  if (Buffer.byteLength(text) > maxBytes) throw new NexusError("too-large", `${file} is larger than 1 MiB`, { details: { file } });
  refuseCrowded(text, file);
  // The parser compares each key with all before it; doubled keys are found below in one pass.
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, uniqueKeys: false, stringKeys: true, logLevel: "error" });
  // The parser tells an exhausted stack as one error for each level.
  if (document.errors.some((fault) => fault.code === "RESOURCE_EXHAUSTION" || fault.message.startsWith("Maximum call stack")))
    throw tooDeep(file);
  const isKnown = ({ code, pos }: YAMLError): boolean => code === "TAG_RESOLVE_FAILED" && tags?.has(text.slice(...pos)) === true;
  const told = [...document.errors, ...document.warnings.filter((warning) => !isKnown(warning))];
  const faults = told.map((fault) => ({ offset: fault.pos[0], ...syntaxProblem(fault) }));
  return { document, faults: [...faults, ...doubledKeys(document)] };
}

/** The lexer keeps nothing; a long text is one token. @throws SpecError */
function refuseCrowded(text: string, file: string): void {
  // No text of fewer characters has so many.
  if (text.length < maxTokens / 2) return;
  let tokens = 0;
  for (const _ of new Lexer().lex(text))
    if (++tokens > maxTokens) throw new SpecError([{ path: "", problem: "has too many values", place: `${file}:1:1` }]);
}

function doubledKeys(document: Document.Parsed): OffsetProblem[] {
  const found: OffsetProblem[] = [];
  visit(document, {
    Map(_, map) {
      const seen = new Set<unknown>();
      for (const { key } of map.items) {
        if (!isScalar(key)) continue;
        if (seen.has(key.value)) found.push({ offset: key.range?.[0] ?? 0, path: "", problem: "this key stands here a second time" });
        seen.add(key.value);
      }
    },
  });
  return found;
}

/** `maxAliasCount` bounds what aliases of aliases can multiply to. */
function plainValue(document: Document.Parsed, file: string): unknown {
  try {
    return document.toJS({ maxAliasCount: 100 });
  } catch (error) {
    if (error instanceof RangeError) throw tooDeep(file);
    throw new SpecError([{ path: "", problem: "uses aliases (*name) too often, or one without its anchor (&name)", place: `${file}:1:1` }]);
  }
}

export function tooDeep(file: string): SpecError {
  return new SpecError([{ path: "", problem: "is nested too deeply", place: `${file}:1:1` }]);
}

function syntaxProblem(fault: YAMLError): SpecProblem {
  switch (fault.code) {
    case "NON_STRING_KEY":
      return { path: "", problem: "a key must be plain text" };
    case "TAB_AS_INDENT":
      return { path: "", problem: "a tab cannot indent YAML", hint: "use spaces" };
    case "MULTIPLE_DOCS":
      return { path: "", problem: "a second document starts here", hint: "one file holds one document" };
    default:
      return { path: "", problem: fault.message };
  }
}

/** Where a path's value, or its key, starts. Of a value that is missing, the mapping it is missing from. */
function offsetOf(document: Document.Parsed, path: readonly PropertyKey[], onKey: boolean): number {
  let node: Node | null = document.contents;
  let offset = startOf(node) ?? 0;
  for (const [depth, step] of path.entries()) {
    if (isAlias(node)) node = node.resolve(document) ?? null;
    let key: unknown;
    let next: unknown;
    if (isMap(node)) {
      // Of a doubled key the last one counts.
      const pair = node.items.findLast((item) => isScalar(item.key) && String(item.key.value) === String(step));
      key = pair?.key;
      next = pair?.value;
    } else if (isSeq(node)) next = node.items[Number(step)];
    const wantsKey = onKey && depth === path.length - 1;
    const start = (wantsKey ? undefined : startOf(next)) ?? startOf(key);
    if (start === undefined) return offset;
    offset = start;
    node = isNode(next) ? next : null;
  }
  return offset;
}

function startOf(node: unknown): number | undefined {
  return isNode(node) ? node.range?.[0] : undefined;
}
