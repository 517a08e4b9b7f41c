import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { createHash, randomUUID } from "node:crypto";
import { once } from "node:events";
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { after, before, describe, test } from "node:test";
import { testCache } from "../../scripts/test-mini.ts";
import type { RunView } from "../../src/spec/run-view.ts";
import { ImageServer } from "../images/image-server.ts";
import { TestRegistry } from "../images/test-registry.ts";
import { busyboxRoot } from "../kernel/busybox-root.ts";
import { until } from "../kernel/world/until.ts";
import { ProjectBed } from "./compose-bed.ts";
import { Bed, type Said } from "./recovery-bed.ts";
import { alice, superuser, shared, UserBed } from "./user-bed.ts";

const program = fileURLToPath(new URL("../../nexus", import.meta.url));
const key = `sandbox.rootfs_${process.arch === "arm64" ? "arm64" : "amd64"}`;
const show = ["--", "cat", "/etc/os-release"];

/** A root file system of nothing but busybox, and an archive of it that no cache has. */
function packed(base: string, name: string): { root: string; archive: string; bytes: Buffer; sum: string } {
  const root = busyboxRoot(join(base, name), name);
  writeFileSync(join(root, "unique"), randomUUID());
  const archive = join(base, `${name}.tar.gz`);
  execFileSync("tar", ["-C", root, "-czf", archive, "."]);
  const bytes = readFileSync(archive);
  return { root, archive, bytes, sum: createHash("sha256").update(bytes).digest("hex") };
}

describe("the root file system of untrusted commands", { timeout: 240_000 }, () => {
  let bed: Bed;
  let server: ImageServer;
  let base: string;
  const sums: string[] = [];
  const made = (name: string) => {
    const all = packed(base, name);
    sums.push(all.sum);
    return all;
  };
  before(async () => {
    bed = await Bed.make();
    server = await ImageServer.start();
    base = mkdtempSync("/var/tmp/nexus-rootfs-");
  });
  after(async () => {
    await bed[Symbol.asyncDispose]();
    await server[Symbol.asyncDispose]();
    rmSync(base, { recursive: true });
    for (const sum of sums) rmSync(join(testCache, "rootfs/unpacked", `sha256-${sum}`), { recursive: true, force: true });
  });
  const set = (...words: string[]) => bed.nexus("config", "set", ...words);
  const well = async (asked: Promise<Said>): Promise<string> => {
    const said = await asked;
    assert.equal(said.code, 0, said.err);
    return said.out;
  };
  const run = (...words: string[]) => bed.nexus("run", ...words);
  const newest = async (): Promise<RunView> => (await bed.client.call("run.list", { query: { limit: 1 } }))[0] ?? assert.fail("no run");
  const checked = async () => (await bed.client.call("doctor")).checks.find(({ name }) => name === "sandbox-root");

  test("is the host's, then a directory's, then an archive's, as it is set, and the run says which", async () => {
    const { root, archive, sum } = made("local");
    assert.match(await well(run("--", "ls", "/usr/bin/env")), /env/);
    assert.equal((await newest()).root, "host");
    await well(set("sandbox.rootfs", root));
    const place = join(base, "work");
    mkdirSync(place);
    assert.equal(
      await well(run("--facility", place, "--", "sh", "-c", "cat /etc/os-release; pwd; echo made >made; cat made")),
      "NAME=local\n/workspace\nmade\n",
    );
    assert.equal((await newest()).root, root);
    assert.match(await well(bed.nexus("run", "inspect", (await newest()).id)), new RegExp(`^root: +${root}$`, "m"));
    assert.equal((await checked())?.detail, `${root}, read-only`);
    await well(set("sandbox.rootfs", archive));
    assert.equal(await well(run(...show)), "NAME=local\n");
    assert.equal((await newest()).root, `${archive}#sha256:${sum}`);
    const denied = await run("--allow", "good.example:80", "--", "wget", "-qO-", "http://bad.example/");
    assert.match(denied.err, /403 Forbidden[^]*1 connection was refused/);
    assert.equal(await well(run("--rootfs", "host", "--", "ls", "/usr/bin/env")), "/usr/bin/env\n");
    await well(bed.nexus("config", "unset", "sandbox.rootfs"));
    assert.match(await well(run("--", "ls", "/usr/bin/env")), /env/);
  });

  test("is fetched once, behind the daemon's back; runs wait for it, those cancelled do not, and it is kept", async () => {
    const { bytes, sum } = made("fetched");
    const gate = Promise.withResolvers<void>();
    const { url } = server.put("/fetched.tgz", { content: bytes, gate: gate.promise });
    await well(set(key, `${url}#sha256:${sum}`));
    await well(set("sandbox.rootfs", "auto"));
    await until("it is asked for", () => server.countOf("/fetched.tgz") === 1);
    assert.equal((await checked())?.ok, "warn");
    const late = await run("--timeout", "300ms", ...show);
    assert.deepEqual([late.code, late.out], [125, ""]);
    assert.match(late.err, /was not here within the 300 ms of the run/);
    const waiting = [1, 2, 3, 4].map(() => run(...show));
    await until(
      "they wait",
      async () => (await bed.client.call("run.list", { query: { limit: 4 } })).filter(({ state }) => state === "starting").length === 4,
    );
    const cancelled = await newest();
    await bed.client.call("run.cancel", { params: { id: cancelled.id } });
    gate.resolve();
    const said = await Promise.all(waiting);
    assert.equal(said.filter(({ out }) => out === "NAME=fetched\n").length, 3, JSON.stringify(said));
    assert.equal((await bed.client.call("run.get", { params: { id: cancelled.id } })).state, "cancelled");
    const roots = (await bed.client.call("run.list", { query: { limit: 4 } }))
      .filter(({ state }) => state === "succeeded")
      .map(({ root }) => root);
    assert.deepEqual(roots, Array(3).fill(`${url}#sha256:${sum}`));
    assert.equal(server.countOf("/fetched.tgz"), 1);
    const kinds = (await bed.daemon.eventsSince(0)).filter(({ subject }) => subject === url).map(({ kind }) => kind);
    assert.deepEqual(kinds, ["rootfs.started", "rootfs.ready"]);
    await bed.daemon.end("SIGTERM");
    await bed.daemon.start();
    assert.equal(await well(run(...show)), "NAME=fetched\n");
    assert.equal(server.countOf("/fetched.tgz"), 1);
    assert.equal((await checked())?.ok, "ok");
  });

  test("is waited for by nobody who has left, and holds up no daemon that ends", async () => {
    const { bytes, sum } = made("never");
    const gate = Promise.withResolvers<void>();
    const { url } = server.put("/never.tgz", { content: bytes, gate: gate.promise });
    const waits = async () => await until("it waits", async () => (await newest()).state === "starting");
    const start = () => {
      const env = { ...process.env, NEXUS_SOCKET: bed.daemon.places.socket };
      const child = spawn(program, ["run", "--rootfs", `${url}#sha256:${sum}`, ...show], { stdio: ["pipe", "ignore", "pipe"], env });
      return { child, err: text(child.stderr), ended: once(child, "exit") as Promise<[number | null]> };
    };
    for (const signal of ["SIGINT", "SIGKILL"] as const) {
      const { child, ended } = start();
      await waits();
      child.kill(signal);
      assert.equal((await ended)[0], signal === "SIGKILL" ? null : 125);
      await until("it is cancelled", async () => (await newest()).reason === "client-gone");
    }
    const { err, ended } = start();
    await waits();
    const since = performance.now();
    await bed.daemon.end("SIGTERM");
    assert.ok(performance.now() - since < 4000);
    await ended;
    assert.match(await err, /cancelled before it began/);
    await bed.daemon.start();
    gate.resolve();
  });

  test("that is not what it should be is never replaced by the host's: runs are refused, and the doctor and an event say why", async () => {
    const { bytes, sum, root } = made("wrong");
    const { url } = server.put("/wrong.tgz", { content: bytes.subarray(0, 200_000) });
    await well(set("sandbox.rootfs", `${url}#sha256:${sum}`));
    await until("it has failed", async () => (await bed.daemon.eventsSince(0)).some(({ kind }) => kind === "rootfs.failed"));
    for (let i = 0; i < 2; i++) {
      const refused = await run(...show);
      assert.deepEqual([refused.code, refused.out], [125, ""]);
      assert.match(refused.err, new RegExp(`it should have sha256:${sum} \\(tried again in \\d+ s\\)`));
    }
    assert.deepEqual([(await newest()).state, (await newest()).reason], ["refused", "image-missing"]);
    assert.equal((await checked())?.ok, "fail");
    writeFileSync(join(base, "cut.tgz"), bytes.subarray(0, 200_000));
    const cut = await run("--rootfs", join(base, "cut.tgz"), ...show);
    assert.match(cut.err, /cut\.tgz: a layer cannot be unpacked/);
    assert.equal(cut.code, 125);
    await well(set("sandbox.rootfs", root));
    assert.equal(await well(run(...show)), "NAME=wrong\n");
    cpSync(root, `${root}-kept`, { recursive: true, verbatimSymlinks: true });
    rmSync(root, { recursive: true });
    assert.match((await run(...show)).err, /wrong cannot be used: ENOENT/);
    // The daemon begins with a setting that is no good, and says so.
    await bed.daemon.end("SIGTERM");
    await bed.daemon.start();
    assert.equal((await run(...show)).code, 125);
    assert.equal((await checked())?.ok, "fail");
    assert.equal(await well(run("--rootfs", `${root}-kept`, ...show)), "NAME=wrong\n");
    await well(set("sandbox.rootfs", "host"));
  });

  test("that can be none is refused when it is set, and what was set stays", async () => {
    await well(bed.nexus("config", "unset", key));
    for (const [value, code, problem] of [
      ["/nowhere", 4, /\/nowhere cannot be used: ENOENT/],
      ["/", 4, /own root directory cannot be/],
      ["auto", 4, new RegExp(`no address is set for it\\n +nexus config set ${key} URL#sha256:DIGITS`)],
      ["./root", 2, /sandbox\.rootfs: must be host, auto, a path that starts with \//],
      ["https://example.org/root.tar.xz", 2, /sandbox\.rootfs: needs the sum its archive must have/],
    ] as const) {
      const said = await set("sandbox.rootfs", value);
      assert.equal(said.code, code, said.err);
      assert.match(said.err, problem);
    }
    assert.equal(await well(bed.nexus("config", "get", "sandbox.rootfs")), "host\n");
  });

  test("is for untrusted commands alone, as an image is for trusted ones", async () => {
    for (const [words, problem] of [
      [["--profile", "trusted", "--rootfs", "host"], /--rootfs: profile trusted has none to choose/],
      [["--profile", "host", "--rootfs", "host"], /--rootfs: profile host has none to choose/],
      [["--driver", "qemu", "--rootfs", "host"], /--rootfs: a virtual machine brings one of its own/],
      [["--image", "mini"], /--image: profile untrusted runs on no image/],
      [["--profile", "host", "--image", "mini"], /--image: profile host runs on no image/],
    ] as const) {
      const said = await run(...words, "--", "true");
      assert.equal(said.code, 2, said.err);
      assert.match(said.err, problem);
      assert.equal(said.err.trim().split("\n").length, 1);
    }
  });

  for (const driver of ["oci", "podman"])
    test(`trusted commands by ${driver} run on the image they name, with what it says of its programs`, async () => {
      await using registry = await TestRegistry.start();
      const busybox = readFileSync(execFileSync("which", ["busybox"], { encoding: "utf8" }).trim());
      const entries = [
        { name: "opt/bin/busybox", content: busybox, mode: 0o755 },
        ...["sh", "cat", "env"].map((name) => ({ name: `opt/bin/${name}`, type: "symlink" as const, linkname: "busybox" })),
        { name: "etc/os-release", content: `NAME=${driver}\n` },
      ];
      await registry.pushImage("team/tools", "1", { layers: [{ entries }], config: { Env: ["PATH=/opt/bin", "A=image", "B=image"] } });
      const reference = `${registry.host}/team/tools:1`;
      const trusted = ["--profile", "trusted", "--driver", driver];
      const out = await well(run(...trusted, "--image", reference, "--env", "B=mine", "--", "sh", "-c", "cat /etc/os-release; env"));
      assert.match(out, new RegExp(`^NAME=${driver}$`, "m"));
      for (const line of ["PATH=/opt/bin", "A=image", "B=mine"]) assert.ok(out.includes(`${line}\n`), out);
      assert.equal((await newest()).root, reference);
      await well(run(...trusted, "--image", reference, "--detach", "--", "sh", "-c", "while :; do :; done"));
      await bed.daemon.crashAndStart();
      await until("what a crash left is gone, its hold on the image too", async () => {
        const { usedBy } = (await bed.client.call("image.list")).find((image) => image.reference === reference) ?? assert.fail();
        return usedBy.length === 0;
      });
      const running = await well(run(...trusted, "--image", reference, "--detach", "--", "sh", "-c", "while :; do :; done"));
      await until("it runs", async () => (await newest()).state === "running");
      assert.equal((await bed.refusal("image", "rm", "--oci", reference)).error.code, "in-use");
      await well(bed.nexus("run", "cancel", running.trim()));
      await until("it may go", async () => (await bed.nexus("image", "rm", "--oci", reference)).code === 0);
      const root = busyboxRoot(join(base, `image-${driver}`), `directory-${driver}`);
      assert.equal(await well(run(...trusted, "--image", root, ...show)), `NAME=directory-${driver}\n`);
      assert.match(await well(run(...trusted, ...show)), /nexus-mini/);
      assert.equal((await newest()).root, "mini");
      for (const [image, problem] of [
        ["./nowhere", /nowhere cannot be used: ENOENT/],
        [`${registry.host}/team/nothing:1`, /team\/nothing:1/],
      ] as const) {
        const said = await run(...trusted, "--image", image, "--", "true");
        assert.equal(said.code, 125, said.err);
        assert.match(said.err, problem);
      }
    });

  test("stands in compose files, meant from the file", async () => {
    const project = new ProjectBed(bed, "roots");
    busyboxRoot(join(project.directory, "root"), "composed");
    const sandboxes =
      "{one: {command: cat /etc/os-release, rootfs: ./root}, two: {profile: trusted, command: cat /etc/os-release, image: ./root}}";
    project.write("nexus-compose.yaml", `name: roots\nsandboxes: ${sandboxes}\n`);
    await well(project.run("up", "--wait"));
    for (const service of ["one", "two"]) assert.match(await well(project.run("logs", service)), /NAME=composed/);
    assert.doesNotMatch((await project.run("up")).err, /again/);
    await well(project.run("down"));
  });
});

test("an ordinary user has one of their own too, for their own daemon", { timeout: 240_000 }, async () => {
  await using bed = await UserBed.make();
  const base = mkdtempSync("/var/tmp/nexus-rootfs-");
  try {
    const { root, archive, sum } = packed(base, "user");
    chmodSync(base, 0o755);
    for (const path of [root, archive]) assert.equal(bed.run(superuser, ["cp", "-a", path, shared]).code, 0);
    const [mine, file] = [root, archive].map((path) => join(shared, basename(path))) as [string, string];
    const run = (...words: string[]) => bed.run(alice, ["./nexus", "run", ...words]);
    assert.equal(run("--", "ls", "/usr/bin/env").stdout, "/usr/bin/env\n");
    assert.equal(bed.nexus(alice, `config set sandbox.rootfs ${file}`).code, 0);
    const first = run("--", "sh", "-c", "cat /etc/os-release; touch /x 2>/dev/null || echo kept; id");
    assert.equal(first.stdout, "NAME=user\nkept\nuid=1000(sandbox) gid=1000(sandbox)\n", first.stderr);
    const [view] = bed.asked<RunView[]>(alice, "run ls");
    assert.equal(view?.root, `${file}#sha256:${sum}`);
    assert.equal(run("--rootfs", mine, ...show).stdout, "NAME=user\n");
    assert.match(run("--allow", "good.example:80", "--", "wget", "-qO-", "http://bad.example/").stderr, /403 Forbidden/);
    const doctor = JSON.parse(bed.nexus(alice, "doctor --json").stdout) as { checks: { name: string; ok: string; detail: string }[] };
    assert.deepEqual(
      ["sandbox-root", "sandbox-untrusted"].map((name) => doctor.checks.find((check) => check.name === name)?.ok),
      ["ok", "ok"],
    );
    const nowhere = bed.nexus(alice, "config set sandbox.rootfs /nowhere");
    assert.deepEqual([nowhere.code, /ENOENT/.test(nowhere.stderr)], [4, true]);
    assert.equal(bed.nexus(alice, "config set sandbox.rootfs host").code, 0);
    assert.equal(run("--", "ls", "/usr/bin/env").stdout, "/usr/bin/env\n");
  } finally {
    rmSync(base, { recursive: true });
  }
});
