import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import type { Ip } from "../../src/base/ip.ts";
import { HostsFile, withBlock } from "../../src/daemon/hosts-file.ts";

const line = (address: string, ...names: string[]) => ({ address: address as Ip, names });

test("its part of the file comes, changes and goes; the rest, its mode and its place stay", () => {
  const directory = mkdtempSync(join(tmpdir(), "nexus-hosts-"));
  try {
    const path = join(directory, "hosts");
    writeFileSync(path, "127.0.0.1 localhost\n::1 localhost", { mode: 0o644 });
    const problems: string[] = [];
    const file = new HostsFile((problem) => problems.push(problem));
    file.set(() => [line("10.0.0.2", "web.lan.nexus")]);
    assert.equal(readFileSync(path, "utf8"), "127.0.0.1 localhost\n::1 localhost", "off until a file is named");
    file.use(path);
    file.set(() => [line("10.0.0.2", "web.lan.nexus", "web.shop.nexus"), line("fd00::2", "web.lan.nexus")]);
    assert.match(
      readFileSync(path, "utf8"),
      /^127\.0\.0\.1 localhost\n::1 localhost\n# nexus begin.*\n10\.0\.0\.2 web\.lan\.nexus web\.shop\.nexus\nfd00::2 web\.lan\.nexus\n# nexus end\n$/,
    );
    writeFileSync(path, `${readFileSync(path, "utf8")}192.0.2.1 mine\n`);
    file.set(() => [line("10.0.0.3", "db.lan.nexus")]);
    assert.match(readFileSync(path, "utf8"), /localhost\n# nexus begin.*\n10\.0\.0\.3 db\.lan\.nexus\n# nexus end\n192\.0\.2\.1 mine\n$/);
    assert.equal(statSync(path).mode & 0o777, 0o644);
    file.use(undefined);
    assert.equal(readFileSync(path, "utf8"), "127.0.0.1 localhost\n::1 localhost\n192.0.2.1 mine\n");
    assert.deepEqual(readdirSync(directory), ["hosts"]);
    file.use(join(directory, "absent"));
    file.set(() => [line("10.0.0.3", "db.lan.nexus")]);
    assert.match(problems.join("\n"), /names cannot be written to .*absent/);
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test("whatever the file holds, only what stands between its marks is ever taken away", () => {
  const text = fc
    .array(fc.constantFrom("a\n", "# nexus end\n", "x # nexus end", "\n", "10.0.0.1 b\n"), { maxLength: 8 })
    .map((parts) => parts.join(""));
  fc.assert(
    fc.property(text, (before) => {
      const there = withBlock(before, "10.9.9.9 g\n");
      assert.ok(there.includes("10.9.9.9 g\n"));
      assert.equal(withBlock(there, "10.9.9.9 g\n"), there);
      const back = withBlock(there, "");
      assert.equal(back.replace(/\n$/, ""), before.replace(/\n$/, ""));
    }),
  );
});
