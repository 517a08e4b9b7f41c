import assert from "node:assert/strict";
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { fakeDaemon } from "../api/fake-daemon.ts";

const root = join(import.meta.dirname, "../..");
const scratch = mkdtempSync(join(tmpdir(), "nexus-launcher-"));
after(() => rmSync(scratch, { recursive: true, force: true }));
const run = (program: string, args: string[], env: NodeJS.ProcessEnv = {}) =>
  spawnSync(program, args, { encoding: "utf8", env: { ...process.env, NEXUS_SOCKET: "/nonexistent", ...env } });

describe("the launcher", { timeout: 60_000 }, () => {
  it("works through symbolic links, relative ones and from any directory", () => {
    symlinkSync(join(root, "nexus"), join(scratch, "one"));
    symlinkSync("one", join(scratch, "two"));
    assert.match(run(join(scratch, "two"), ["--help"]).stdout, /^Networks for/);
    assert.match(execFileSync("./nexus", ["--help"], { cwd: root, encoding: "utf8" }), /^Networks for/);
    assert.match(run("sh", ["-c", "cd / && two --help"], { PATH: `${scratch}:${process.env["PATH"]}` }).stdout, /^Networks for/);
  });

  it("runs the pinned Node whatever the environment asks of Node", () => {
    writeFileSync(join(scratch, "evil.cjs"), "console.log('evil')");
    const ran = run(join(root, "nexus"), ["version", "--json"], { NODE_OPTIONS: `--require ${scratch}/evil.cjs`, NODE_PATH: scratch });
    assert.equal((JSON.parse(ran.stdout) as { node: string }).node, process.version);
  });

  it("starts no process besides Node when everything is installed", () => {
    const traced = spawnSync("strace", ["-f", "-qq", "-e", "trace=execve", "-e", "status=successful", join(root, "nexus"), "--help"], {
      encoding: "utf8",
    });
    assert.deepEqual(
      [...traced.stderr.matchAll(/execve\("([^"]+)"/g)].map((m) => m[1]?.split("/").at(-1)),
      ["nexus", "node"],
    );
  });

  it("installs once when two start together, and says what is missing when it cannot", async () => {
    const copy = join(scratch, "copy");
    mkdirSync(join(copy, "bin"), { recursive: true });
    mkdirSync(join(copy, "scripts"));
    mkdirSync(join(copy, "src/cli"), { recursive: true });
    for (const file of ["nexus", "scripts/install"]) cpSync(join(root, file), join(copy, file));
    writeFileSync(join(copy, "src/cli/main.ts"), "console.log('ran')");
    const npm =
      '#!/bin/sh\necho once >>"$0.log"\nsleep 0.3\nmkdir -p node_modules/.bin\nln -s "$REAL_NODE" node_modules/.bin/node\n: >node_modules/.package-lock.json\n';
    const env = { ...process.env, PATH: `${join(copy, "bin")}:/usr/bin:/bin`, REAL_NODE: process.execPath };
    writeFileSync(join(copy, "bin/npm"), "#!/bin/sh\necho it broke\nexit 1\n", { mode: 0o755 });
    const failed = run(join(copy, "nexus"), [], env);
    assert.equal(failed.status, 1);
    assert.match(failed.stderr, /it broke\nnexus: npm ci failed/);
    writeFileSync(join(copy, "bin/npm"), npm, { mode: 0o755 });
    const both = [1, 2].map(() => spawn(join(copy, "nexus"), [], { env, stdio: ["ignore", "pipe", "ignore"] }));
    const codes = await Promise.all(both.map(async (child) => ((await once(child, "close")) as [number])[0]));
    assert.deepEqual(codes, [0, 0]);
    assert.equal(readFileSync(join(copy, "bin/npm.log"), "utf8"), "once\n");
    assert.ok(!existsSync(join(copy, ".install-lock")));
  });

  it("goes by every name it is known by", () => {
    assert.match(run(join(root, "nexusctl"), ["--help"]).stdout, /^Networks for/);
    assert.equal(run(join(root, "nexus"), ["--version"]).stdout, run(join(root, "nexusctl"), ["version"]).stdout);
  });

  it("says in one line that its output cannot be written", () => {
    const ran = run("sh", ["-c", `"${join(root, "nexus")}" --help >/dev/full`]);
    assert.equal(ran.status, 1);
    assert.match(ran.stderr, /^nexus: the output cannot be written: ENOSPC[^\n]*\n$/);
  });

  it("ends quietly when its reader goes away", async () => {
    await using daemon = await fakeDaemon({
      "node.logs": async () =>
        (async function* () {
          for (;;) yield Buffer.from("line\n".repeat(1000));
        })(),
    });
    const child = spawn("sh", ["-c", `"${join(root, "nexus")}" node logs web --no-start | head -1`], {
      env: { ...process.env, NEXUS_SOCKET: daemon.socketPath },
    });
    let noise = "";
    child.stderr.on("data", (chunk) => (noise += String(chunk)));
    await once(child, "close");
    assert.equal(noise, "");
  });
});
