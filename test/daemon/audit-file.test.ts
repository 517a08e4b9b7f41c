import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { AuditFile } from "../../src/daemon/audit-file.ts";
import type { AuditRecord } from "../../src/services/egress/audit.ts";

for (const [flood, other] of [
  ["deny", "allow"],
  ["allow", "deny"],
] as const)
  test(`a flood of one decision (${flood}) does not take the room of the other, nor the disk`, async (t) => {
    const directory = mkdtempSync(join(tmpdir(), "nexus-audit-file-"));
    t.after(() => rmSync(directory, { recursive: true, force: true }));
    const path = join(directory, "audit.jsonl");
    const audit = new AuditFile(path);
    const record = (decision: "allow" | "deny", detail: string): AuditRecord => ({
      time: "2026-01-01T00:00:00Z",
      run: "r",
      method: "CONNECT",
      name: "example.com",
      port: 443,
      address: null,
      decision,
      reason: decision === "allow" ? "OK" : "NOT_IN_ALLOWLIST",
      rule: null,
      bytesUp: 0,
      bytesDown: 0,
      ms: 0,
      detail,
    });
    const long = "x".repeat(1024 * 1024);
    for (let i = 0; i < 80; i++) audit.write(record(flood, long));
    audit.write(record(other, "seen"));
    await audit.close();
    assert.equal(audit.problem, undefined);
    const { size, mode } = statSync(path);
    assert.ok(size < 33 * 1024 * 1024, String(size));
    assert.equal(mode & 0o777, 0o600);
    const [seen, last] = readFileSync(path, "utf8").trim().split("\n").slice(-2);
    assert.match(seen ?? "", new RegExp(`"decision":"${other}".*"seen"`));
    assert.equal((JSON.parse(last ?? "") as { leftOut: number }).leftOut, 49);
    assert.equal(audit.left, 49);
  });
