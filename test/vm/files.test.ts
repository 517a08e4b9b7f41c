import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { until } from "../kernel/world/until.ts";
import { Bed } from "../e2e/recovery-bed.ts";

describe("files of a virtual machine, as users get at them", { timeout: 300_000 }, () => {
  let bed: Bed;
  const here = mkdtempSync(join(tmpdir(), "nexus-vm-cp-"));
  before(async () => {
    bed = await Bed.make();
    bed.daemon.named.add("box");
    await bed.client.call("vm.create", { body: { name: "box", mem: 128 } });
    await until("its agent answers", async () => (await bed.nexus("mcp", "run_command", "--vm", "box", "--", "true")).code === 0, 120_000);
  });
  after(async () => {
    await bed[Symbol.asyncDispose]();
    rmSync(here, { recursive: true, force: true });
  });

  it("are copied in and out, read and listed by tools, and its commands run", async () => {
    const bytes = randomBytes(1_500_000);
    writeFileSync(join(here, "in"), bytes, { mode: 0o750 });
    const into = await bed.nexus("cp", join(here, "in"), "box:/root/in");
    assert.equal(into.code, 0, into.err);
    const out = await bed.nexus("cp", "box:/root/in", join(here, "out"));
    assert.equal(out.code, 0, out.err);
    assert.ok(readFileSync(join(here, "out")).equals(bytes));
    const ran = await bed.nexus(
      "mcp",
      "run_command",
      "--vm",
      "box",
      "--command",
      "stat -c %a /root/in; printf 'nameserver 10.0.0.1\\n' >/tmp/r; exit 3",
    );
    assert.deepEqual(ran, { code: 3, out: "750\n", err: "" });
    assert.deepEqual(await bed.nexus("mcp", "file_read", "--vm", "box", "--path", "/tmp/r"), {
      code: 0,
      out: "nameserver 10.0.0.1\n",
      err: "",
    });
    assert.match((await bed.nexus("mcp", "file_list", "--vm", "box", "--path", "/root")).out, /"name": "in"/);
    assert.equal((await bed.refusal("mcp", "file_read", "--vm", "box", "--path", "/no/such")).exit, 4);
    assert.equal((await bed.refusal("cp", "box:/dev/zero", join(here, "x"))).error.code, "unsupported");
  });
});
