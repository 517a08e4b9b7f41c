import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import type { NexusError } from "../../src/base/errors.ts";
import { directoryRoot, hostRoot, type RootEntry } from "../../src/guests/sandbox-root.ts";
import { busyboxRoot } from "./busybox-root.ts";
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

  it("is the plan's, whoever else has another at the same time; what is made ahead follows the one that is set", async () => {
    const [one, two] = ["one", "two"].map((name) => busyboxRoot(join(directory, name), name)) as [string, string];
    await using bed = new SandboxBed();
    const nameIn = async (root: string | undefined) => {
      const script = "cat /etc/os-release 2>/dev/null || ls /usr/bin/env";
      const { stdout, stderr } = await bed.sh(script, { env: { PATH: "/bin" }, ...(root === undefined ? {} : { root: { lower: root } }) });
      return (stdout + stderr).trim();
    };
    bed.driver.follow(one);
    assert.deepEqual(await Promise.all([one, two, undefined, one, two, one].map(nameIn)), [
      "NAME=one",
      "NAME=two",
      "/usr/bin/env",
      "NAME=one",
      "NAME=two",
      "NAME=one",
    ]);
    const waiting = await bed.settled();
    assert.ok((waiting["cgroups"] ?? 0) > 0);
    const running = nameIn(one);
    bed.driver.follow(two);
    assert.equal(await running, "NAME=one");
    await until("what was made ahead for it has ended", () => bed.count()["cgroups"] === 0);
    assert.equal(await nameIn(two), "NAME=two");
    assert.deepEqual((await bed.settled())["cgroups"], waiting["cgroups"]);
    const { works } = await bed.driver.check();
    assert.equal(works, true);
  });

  it("is as it is when the command begins: changed, or exchanged for another", async () => {
    const root = busyboxRoot(join(directory, "changing"), "before");
    await using bed = new SandboxBed();
    bed.driver.follow(root);
    const seen = async () => (await bed.sh("cat /etc/os-release; ls /", { env: { PATH: "/bin" }, root: { lower: root } })).stdout;
    assert.match(await seen(), /^NAME=before\n/);
    await bed.settled();
    mkdirSync(join(root, "opt"));
    writeFileSync(join(root, "etc/new"), "NAME=after\n");
    renameSync(join(root, "etc/new"), join(root, "etc/os-release"));
    assert.match(await seen(), /^NAME=after\n.*\nopt\n/s);
    await bed.settled();
    renameSync(root, `${root}-old`);
    busyboxRoot(root, "another");
    assert.match(await seen(), /^NAME=another\n/);
  });

  it("hides no workspace, and leads to nothing of the host by a link", async () => {
    const root = busyboxRoot(join(directory, "odd"), "odd");
    mkdirSync(join(root, "workspace"));
    writeFileSync(join(root, "workspace/theirs"), "");
    rmSync(join(root, "etc"), { recursive: true });
    symlinkSync("/etc", join(root, "etc"));
    await using bed = new SandboxBed();
    writeFileSync(join(bed.workspace, "mine"), "");
    const { stdout } = await bed.sh("ls /workspace /etc; touch /x /etc/x /bin/x", { env: { PATH: "/bin" }, root: { lower: root } });
    assert.equal(stdout, "/etc:\ngroup\nhostname\nhosts\nnsswitch.conf\npasswd\nresolv.conf\n\n/workspace:\nmine\n");
  });

  it("takes nothing but its shell to reach the proxy", async () => {
    const root = busyboxRoot(join(directory, "proxied"), "proxied");
    await using bed = new SandboxBed();
    const { stdout } = await bed.sh("nc 127.0.0.1 9080 </dev/null", {
      env: { PATH: "/bin" },
      root: { lower: root },
      egress: { kind: "proxy", port: 9080, serve: (connection) => connection.end("from outside\n") },
    });
    assert.equal(stdout, "from outside\n");
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
