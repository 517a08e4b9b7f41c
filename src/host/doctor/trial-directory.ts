import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

/** A directory to try things in, gone when disposed of. It is near where the real ones are or will be: /tmp may be memory, or forbid programs. */
export function trialDirectory(near: string): Disposable & { directory: string } {
  let parent = near;
  while (!existsSync(parent) && dirname(parent) !== parent) parent = dirname(parent);
  const directory = makeIn(parent) ?? mkdtempSync(join(tmpdir(), ".nexus-doctor-"));
  return { directory, [Symbol.dispose]: () => rmSync(directory, { recursive: true, force: true }) };
}

/** A state directory that cannot be written is another check's finding. */
function makeIn(parent: string): string | undefined {
  try {
    return mkdtempSync(join(parent, ".nexus-doctor-"));
  } catch {
    return undefined;
  }
}
