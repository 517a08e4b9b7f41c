import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import fc from "fast-check";
import { miniSetupScript } from "../../src/images/mini-setup.ts";
import type { ProvisionStep } from "../../src/spec/vm-setup.ts";

/** Runs it as the guest would, with a directory of its own in place of /run/nexus. */
function run(provision: ProvisionStep[]): { code: number | null; status: string; log: string } {
  const root = mkdtempSync(join(tmpdir(), "nexus-mini-setup-"));
  try {
    mkdirSync(join(root, "run"));
    const script = miniSetupScript({ mounts: [], provision }, "virtiofs").replaceAll("/run/nexus", join(root, "run"));
    writeFileSync(join(root, "setup"), script);
    const { status: code } = spawnSync("busybox", ["sh", join(root, "setup")], { timeout: 20_000 });
    const text = (name: string) => readFileSync(join(root, "run", name), "utf8");
    return { code, status: text("status").trim(), log: text("log") };
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}

describe("the script by which a mini virtual machine sets itself up", () => {
  it("does steps in order, each for itself, and ends at the first that fails", () => {
    const shell = (script: string): ProvisionStep => ({ kind: "shell", script });
    const ended = run([shell("a=1; cd /tmp; echo one"), shell("echo ${a-none} $PWD"), shell("false\necho no"), shell("echo never")]);
    assert.deepEqual([ended.code, ended.status], [1, "failed step 3 of 4 with code 1"]);
    assert.equal(ended.log, "nexus: step 1 of 4\none\nnexus: step 2 of 4\nnone /\nnexus: step 3 of 4\nnexus: step 3 of 4 with code 1\n");
  });

  it("carries any text to its place, and takes none for its own words", () => {
    const scratch = mkdtempSync(join(tmpdir(), "nexus-mini-files-"));
    const content = fc.oneof(fc.string({ unit: "grapheme" }), fc.constantFrom("END\n", "NEXUS_END\nrm -rf x\n", "$(id)`id`'\"\\", "\0\n"));
    const name = fc.stringMatching(/^[a-z '"$()`\\-]{1,12}$/);
    try {
      fc.assert(
        fc.property(content, name, (text, file) => {
          const target = join(scratch, "deep", `x${file}`);
          const { status } = run([
            { kind: "file", target, content: text, mode: "0640" },
            { kind: "shell", script: `: <<'NEXUS_END'\n${text.replaceAll("\0", "")}\nNEXUS_END\n` },
          ]);
          assert.match(status, /^(ok|failed step 2)/);
          assert.equal(readFileSync(target, "utf8"), text);
        }),
        { numRuns: 25 },
      );
    } finally {
      rmSync(scratch, { recursive: true, force: true });
    }
  });
});
