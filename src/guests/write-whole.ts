import { renameSync, writeFileSync } from "node:fs";

/** Readers see the text that was there, or all of this. In a directory of ours alone. */
export function writeWhole(path: string, text: string): void {
  writeFileSync(`${path}.new`, text, { mode: 0o600 });
  renameSync(`${path}.new`, path);
}
