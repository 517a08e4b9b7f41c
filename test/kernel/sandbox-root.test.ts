import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import type { NexusError } from "../../src/base/errors.ts";
import { directoryRoot, hostRoot, type RootEntry } from "../../src/guests/sandbox-root.ts";
import { until } from "./oci-bed.ts";
import { SandboxBed } from "./sandbox-bed.ts";

describe("a sandbox with a root file system of its own", () => {
  const directory = mkdtempSync(join(tmpdir(), "nexus-root-"));
  after(() => rmSync(directory, { recursive: true }));

  it("has that and not the host's, by whatever shell that has: busybox", async () => {
    const busybox = execFileSync("which", ["busybox"], { encoding: "utf8" }).trim();
    for (const name of ["bin", "usr/bin", "etc", "var/lib/own", "proc", "home/somebody"])
      mkdirSync(join(directory, name), { recursive: true });
    cpSync(busybox, join(directory, "bin/busybox"));
    for (const name of ["sh", "id", "cat", "ls", "printf", "stty", "tty", "env"]) symlinkSync("busybox", join(directory, "bin", name));
    symlinkSync("../../bin/busybox", join(directory, "usr/bin/setsid"));
    writeFileSync(join(directory, "etc/os-release"), "NAME=own\n");
    writeFileSync(join(directory, "etc/passwd"), "evil:x:0:0::/:/bin/sh\n");
    await using bed = new SandboxBed({ root: () => directoryRoot(directory) });
    const { stdout } = await bed.sh("cat /etc/os-release; id; ls / /home; ls /var/lib; printf '[%s]' \"$X\"; echo new >made", {
      env: { PATH: "/bin", X: "a\n\u0081\n" },
    });
    assert.match(stdout, /^NAME=own\nuid=1000\(sandbox\) gid=1000\(sandbox\)/);
    assert.match(stdout, /own\n\[a\n\u0081\n\]$/);
    assert.doesNotMatch(stdout, /somebody/);
    assert.equal((await bed.sh("exit 3", { env: { PATH: "/bin" } })).exit.code, 3);
    assert.equal((await bed.run(["nowhere"], { env: { PATH: "/bin" } })).exit.code, 127);
    await using terminal = await bed.start(["sh", "-c", "tty; stty size"], { env: { PATH: "/bin" }, terminal: { columns: 80, rows: 24 } });
    let said = "";
    terminal.stdout.on("data", (bytes: Buffer) => (said += bytes.toString()));
    await until("it has told its size", () => said.includes("24 80"));
    assert.match(said, /\/dev\/pts\/0/);
  });

  it("or bash", async () => {
    const withBash: RootEntry[] = [
      ...hostRoot().filter(({ target }) => target !== "/bin"),
      { kind: "link", to: "/usr/bin/bash", target: "/bin/sh" },
    ];
    await using bed = new SandboxBed({ root: () => withBash });
    const { stdout } = await bed.run(["env"], { env: { PATH: "/usr/bin", A: "b" } });
    assert.match(stdout, /^A=b$/m);
    assert.deepEqual((await bed.run(["/usr/bin/sh", "-c", "kill -9 $$"])).exit, { code: 137, outOfMemory: false });
    assert.equal((await bed.run(["nowhere"])).exit.code, 127);
    assert.equal((await bed.run(["printf", "[%s]", "a\n", "$(x)"])).stdout, "[a\n][$(x)]");
  });

  it("is refused when there is nothing in it to run", async () => {
    const empty = join(directory, "empty");
    mkdirSync(empty);
    assert.throws(
      () => directoryRoot(empty),
      (error: NexusError) => error.code === "wrong-state",
    );
  });
});
