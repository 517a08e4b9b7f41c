import { randomBytes } from "node:crypto";
import { linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { VerbContext } from "../context.ts";
import { ownStateDirectory } from "../ssh/own-keys.ts";
import type { Project } from "../../spec/compose/project.ts";
import { hasEnvironment, withSealedEnvironments } from "../../spec/compose/sealed.ts";

/** The project as sandboxes of it are compared, by the caller's own key; made when there is none. */
export function sealed(c: VerbContext, project: Project): Project {
  if (![...project.sandboxes.values()].some(hasEnvironment)) return project;
  const directory = ownStateDirectory(c.io);
  try {
    return withSealedEnvironments(project, ownKey(directory));
  } catch (error) {
    c.out.note(
      `nexus: new values in environments of sandboxes will not be noticed: ${error instanceof Error ? error.message : String(error)}`,
    );
    return project;
  }
}

/** @throws errors of node:fs */
function ownKey(directory: string): Uint8Array {
  const path = join(directory, "environment.key");
  return keyIn(path) ?? makeKey(path);
}

function makeKey(path: string): Uint8Array {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const temporary = `${path}.${randomBytes(6).toString("hex")}`;
  const key = randomBytes(keyBytes);
  writeFileSync(temporary, key, { mode: 0o600, flag: "wx", flush: true });
  try {
    // A link, unlike a rename, does not replace the key that another process made first.
    linkSync(temporary, path);
    return key;
  } catch (error) {
    const other = (error as NodeJS.ErrnoException).code === "EEXIST" ? keyIn(path) : undefined;
    if (other === undefined) throw error;
    return other;
  } finally {
    rmSync(temporary, { force: true });
  }
}

function keyIn(path: string): Uint8Array | undefined {
  try {
    const key = readFileSync(path);
    if (key.length !== keyBytes) throw new Error(`${path} is no key of ${keyBytes} bytes: remove it, and a new one is made`);
    return key;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

const keyBytes = 32;
