import type { Machine } from "./measure.ts";

export type Row = readonly (string | number)[];

/** Prints aligned columns; numbers to the right. */
export function printTable(title: string, head: readonly string[], rows: readonly Row[]): void {
  const text = [head, ...rows.map((row) => row.map(cell))];
  const widths = head.map((_, column) => Math.max(...text.map((row) => (row[column] ?? "").length)));
  const line = (row: readonly string[], of: Row | undefined) =>
    row
      .map((value, column) => (typeof of?.[column] === "number" ? value.padStart(widths[column] ?? 0) : value.padEnd(widths[column] ?? 0)))
      .join("  ")
      .trimEnd();
  console.log(`\n${title}\n${"─".repeat(title.length)}`);
  text.forEach((row, i) => console.log(line(row, i === 0 ? undefined : rows[i - 1])));
}

export function printMachine(machine: Machine): void {
  console.log(
    `\nLinux ${machine.kernel}, ${machine.cpus} × ${machine.cpuModel}, ${machine.memoryMib} MiB, Node ${machine.node}, ${machine.at}`,
  );
}

/** Progress for whoever watches; never on stdout, where the figures go. */
export function progress(line: string): void {
  process.stderr.write(`· ${line}\n`);
}

function cell(value: string | number): string {
  return typeof value === "string" ? value : value.toLocaleString("en-US", { maximumSignificantDigits: 4, useGrouping: value >= 10000 });
}
