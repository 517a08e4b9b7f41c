/**
 * Whether a path is meant by a pattern: `*` and `?` within one name, `[abc]` and `[!a-z]`, and `**` for any directories. Names that begin
 * with a dot are names like others. A pattern that means a directory means everything in it. Takes time proportional to both lengths.
 */
export function makeMatcher(pattern: string): (path: string) => boolean {
  const wanted = pattern.split("/").filter((part) => part !== "" && part !== ".");
  const parts = wanted.map((part) => (part === "**" ? "any" : partMatcher(part)));
  return (path) => matchParts(parts, path.split("/"));
}

type Part = "any" | ((name: string) => boolean);

/** Which parts could come next, for all ways to read the names so far at once. */
function matchParts(parts: readonly Part[], names: readonly string[]): boolean {
  if (parts.length === 0) return true;
  let open = past(parts, new Set([0]));
  for (const name of names) {
    const next = new Set<number>();
    for (const at of open) {
      const part = parts[at];
      if (part === "any") next.add(at).add(at === parts.length - 1 ? at + 1 : at);
      else if (part?.(name) === true) next.add(at + 1);
    }
    open = past(parts, next);
    // What is meant may be a directory above.
    if (open.has(parts.length)) return true;
    if (open.size === 0) return false;
  }
  return false;
}

/** `**` may also stand for no directory at all. */
function past(parts: readonly Part[], open: Set<number>): Set<number> {
  for (const at of open) if (parts[at] === "any" && at < parts.length - 1) open.add(at + 1);
  return open;
}

type Token = { kind: "text"; is: (character: string) => boolean } | { kind: "star" };

function partMatcher(pattern: string): (name: string) => boolean {
  const tokens = tokensOf(Array.from(pattern));
  return (name) => {
    let open = pastStars(tokens, new Set([0]));
    for (const character of name) {
      const next = new Set<number>();
      for (const at of open) {
        const token = tokens[at];
        if (token?.kind === "star") next.add(at);
        else if (token?.is(character) === true) next.add(at + 1);
      }
      open = pastStars(tokens, next);
      if (open.size === 0) return false;
    }
    return open.has(tokens.length);
  };
}

function pastStars(tokens: readonly Token[], open: Set<number>): Set<number> {
  for (const at of open) if (tokens[at]?.kind === "star") open.add(at + 1);
  return open;
}

function tokensOf(pattern: readonly string[]): Token[] {
  const tokens: Token[] = [];
  for (let at = 0; at < pattern.length; at++) {
    const character = pattern[at] ?? "";
    const end = character === "[" ? closing(pattern, at) : -1;
    if (character === "*") tokens.push({ kind: "star" });
    else if (character === "?") tokens.push({ kind: "text", is: () => true });
    else if (end !== -1) {
      tokens.push({ kind: "text", is: oneOf(pattern.slice(at + 1, end)) });
      at = end;
    } else tokens.push({ kind: "text", is: (other) => other === character });
  }
  return tokens;
}

/** A bracket that is not closed is itself; one right after the opening is one of the set. */
function closing(pattern: readonly string[], at: number): number {
  const first = at + 1 + (pattern[at + 1] === "!" ? 1 : 0);
  return pattern.indexOf("]", first + 1);
}

function oneOf(set: readonly string[]): (character: string) => boolean {
  const not = set[0] === "!";
  const ranges: [string, string][] = [];
  for (let at = not ? 1 : 0; at < set.length; at++) {
    const [from = "", dash, to] = [set[at], set[at + 1], set[at + 2]];
    const isRange = dash === "-" && to !== undefined;
    ranges.push([from, isRange ? to : from]);
    if (isRange) at += 2;
  }
  return (character) => ranges.some(([from, to]) => from <= character && character <= to) !== not;
}
