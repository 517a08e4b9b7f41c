import assert from "node:assert/strict";
import { chownSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { nexus } from "./command-line.ts";
import { findProjectFiles } from "../../src/cli/compose/files.ts";
import type { VerbContext } from "../../src/cli/context.ts";

const us = process.getuid?.() ?? 0;
const back = process.cwd();
let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "nexus-files-"));
  mkdirSync(join(root, "shared/mine"), { recursive: true });
  process.chdir(join(root, "shared/mine"));
});
afterEach(() => {
  process.chdir(back);
  rmSync(root, { recursive: true, force: true });
});

/** Whose files they are is asked as a user who is neither root nor, unless told, the one who made them. */
const found = (uid: number, env: Record<string, string> = {}, file: string[] = []) =>
  findProjectFiles({ flags: { many: () => file }, io: { uid, env } } as unknown as VerbContext)?.files;

test("a compose file above counts only when it is root's or the user's own", () => {
  const file = join(root, "shared/nexus-compose.yaml");
  writeFileSync(file, "name: theirs\n");
  assert.deepEqual(found(us), [file]);
  if (us === 0) chownSync(file, 4711, -1);
  const stranger = us === 0 ? 0 : us + 1;
  assert.equal(found(stranger), undefined);
  assert.deepEqual(found(stranger, { SUDO_UID: String(us === 0 ? 4711 : us) }), [file]);
  assert.deepEqual(found(stranger, {}, [file]), [file]);
  symlinkSync(file, join(root, "nexus-compose.yml"));
  if (us === 0) assert.deepEqual(found(stranger), [join(root, "nexus-compose.yml")]);
  else assert.equal(found(stranger), undefined);
});

test("in a directory everybody may write another's file does not count, in its owner's own it does", () => {
  const file = join(root, "shared/mine/nexus-compose.yaml");
  writeFileSync(file, "name: theirs\n");
  if (us !== 0) return assert.deepEqual(found(us + 1), [file]);
  chownSync(file, 4711, -1);
  assert.equal(found(0), undefined);
  chownSync(join(root, "shared/mine"), 4711, -1);
  assert.deepEqual(found(0), [file]);
});

test("the words of a compose file complete, sandboxes only where they may stand", async () => {
  const sandbox = "{ profile: untrusted, command: 'true' }";
  writeFileSync(join(root, "shared/mine/nexus-compose.yaml"), `nodes: { web: { command: 'true' } }\nsandboxes: { wash: ${sandbox} }\n`);
  const offered = async (...words: string[]) => (await nexus("/nonexistent", ["__complete", "--", ...words])).stdout.trim().split("\n");
  assert.deepEqual(await offered("up", "w"), ["web", "wash"]);
  assert.deepEqual(await offered("logs", "wa"), ["wash"]);
  for (const verb of ["start", "stop", "restart"]) assert.deepEqual(await offered(verb, "w"), ["web"]);
});
