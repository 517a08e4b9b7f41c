/** Rows as aligned text, two spaces between columns, one line each, no space at line ends. */
export function columns(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of rows) row.forEach((cell, i) => (widths[i] = Math.max(widths[i] ?? 0, width(cell))));
  return rows
    .map(
      (row) =>
        `${row
          .map((cell, i) => cell + " ".repeat((widths[i] ?? 0) - width(cell)))
          .join("  ")
          .trimEnd()}\n`,
    )
    .join("");
}

/** A table with a heading; an empty cell is a dash, so that columns can be told apart by a program. */
export function table(heading: readonly string[], rows: readonly (readonly string[])[]): string {
  return columns([heading, ...rows.map((row) => row.map((cell) => (cell === "" ? "-" : cell)))]);
}

/** Pairs of what and value, for one object. Lines without a value are left out. */
export function facts(pairs: readonly (readonly [string, string | undefined])[]): string {
  return columns(pairs.flatMap(([what, value]) => (value === undefined || value === "" ? [] : [[`${what}:`, value]])));
}

/** Cells a terminal uses; enough for names and addresses. */
function width(text: string): number {
  return Array.from(text).length;
}
