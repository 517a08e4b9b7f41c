import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmodSync, copyFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { sandboxProbes } from "../../src/daemon/sandbox-probes.ts";
import type { CheckResult, DoctorContext } from "../../src/host/doctor/report.ts";
import { runDoctor } from "../../src/host/doctor/run.ts";
import { ImageStore } from "../../src/images/store.ts";
import { findCgroups, listCgroups } from "../../src/kernel/cgroups.ts";

describe("the doctor on sandboxes", () => {
  const base = mkdtempSync(join(tmpdir(), "nexus-doctor-sandboxes-"));
  after(() => rmSync(base, { recursive: true }));
  const path = process.env["PATH"] ?? "";

  async function check(name: string, given: Partial<DoctorContext> = {}): Promise<CheckResult> {
    const context = { stateDirectory: base, socketPath: "/run/x.sock", networks: [], probeRuntimes: async () => [], ...given };
    const [found] = (await runDoctor(context, { only: [name] })).checks;
    assert.ok(found, name);
    assert.equal(found.name, name);
    return found;
  }

  /** With a directory of programs before all others. */
  async function withPrograms<T>(programs: Record<string, string>, act: () => Promise<T>): Promise<T> {
    const directory = mkdtempSync(join(base, "bin-"));
    chmodSync(base, 0o755);
    chmodSync(directory, 0o755);
    for (const [name, text] of Object.entries(programs)) writeFileSync(join(directory, name), `#!/bin/sh\n${text}\n`, { mode: 0o755 });
    process.env["PATH"] = `${directory}:${path}`;
    try {
      return await act();
    } finally {
      process.env["PATH"] = path;
    }
  }

  it("runs a command in a sandbox of each kind, and leaves nothing", async () => {
    const images = new ImageStore({ directory: join(base, "images") });
    const before = listCgroups(findCgroups(), "/");
    const untrusted = await check("sandbox-untrusted", { probeSandboxes: sandboxProbes(images, { user: false }) });
    assert.equal(untrusted.ok, "ok", untrusted.detail);
    assert.match(untrusted.detail, /bubblewrap .* ran a command in \d+ ms; .* limited by cgroups/);
    const podman = await check("podman", { probeSandboxes: sandboxProbes(images, { user: false }) });
    assert.equal(podman.ok, "ok", podman.detail);
    assert.match(podman.detail, /podman .* \(rootful\)/);
    assert.deepEqual(listCgroups(findCgroups(), "/"), before);
  });

  it("tells why a driver does not work, and what to do", async () => {
    const probe = async () => ({ works: false as const, reason: "no luck", hint: "find some" });
    const found = await check("sandbox-untrusted", { probeSandboxes: { bubblewrap: probe } });
    assert.deepEqual([found.ok, found.detail, found.remedy], ["fail", "untrusted commands have no sandbox here: no luck", "find some"]);
    assert.equal((await check("podman")).ok, "skip");
  });

  it("finds bubblewrap's version, and refuses one that is set-user-id root", async () => {
    assert.match((await check("bubblewrap")).detail, /^bubblewrap \d/);
    const directory = mkdtempSync(join(base, "setuid-"));
    copyFileSync(execFileSync("which", ["bwrap"], { encoding: "utf8" }).trim(), join(directory, "bwrap"));
    chmodSync(join(directory, "bwrap"), 0o4755);
    process.env["PATH"] = `${directory}:${path}`;
    try {
      const found = await check("bubblewrap");
      assert.equal(found.ok, "fail");
      assert.match(found.remedy ?? "", /^chmod u-s /);
      const untrusted = await check("sandbox-untrusted", {
        probeSandboxes: sandboxProbes(new ImageStore({ directory: base }), { user: false }),
      });
      assert.match(untrusted.detail, /set-user-id root/);
    } finally {
      process.env["PATH"] = path;
    }
  });

  it("says bubblewrap is not there when it is not", async () => {
    process.env["PATH"] = join(base, "nothing");
    try {
      for (const name of ["bubblewrap", "sandbox-untrusted"]) {
        const found = await check(name, { probeSandboxes: sandboxProbes(new ImageStore({ directory: base }), { user: false }) });
        assert.deepEqual([found.ok, found.remedy], ["fail", "apt-get install bubblewrap"], name);
      }
    } finally {
      process.env["PATH"] = path;
    }
  });

  it("tries whether bubblewrap follows planted links, whatever version it says it has", async () => {
    const faulty =
      'for word; do last=$word; case $word in /mnt/workspace/link/*) mkdir "$(readlink "$link" | sed s:^/oldroot::)/made";; esac; [ "$bind" ] && link=$word/link && bind=; [ "$word" = --bind ] && bind=1; done; true';
    const found = await withPrograms({ bwrap: faulty }, () => check("bubblewrap-links"));
    assert.equal(found.ok, "warn", found.detail);
    assert.match(found.detail, /CVE-2026-87766/);
    const mended = await withPrograms({ bwrap: 'echo "bwrap: Can\'t mkdir /mnt/workspace/link/made" >&2; exit 1' }, () =>
      check("bubblewrap-links"),
    );
    assert.equal(mended.ok, "ok");
    const here = await check("bubblewrap-links");
    assert.ok(["ok", "warn"].includes(here.ok), here.detail);
    assert.deepEqual(
      readdirSync(base).filter((name) => name.startsWith(".nexus-doctor")),
      [],
    );
  });

  it("says what keeps ordinary users from namespaces", async () => {
    assert.equal((await check("user-namespaces")).ok, "ok");
    const found = await withPrograms({ unshare: "echo unshare: Operation not permitted >&2; exit 1" }, () => check("user-namespaces"));
    assert.equal(found.ok, "fail");
    assert.match(found.detail, /Operation not permitted/);
    assert.ok(found.remedy);
    assert.equal((await check("seccomp")).ok, "ok");
    assert.ok(["ok", "warn"].includes((await check("apparmor-userns")).ok));
  });

  it("looks for the root file system, and measures the socket's name", async () => {
    assert.equal((await check("sandbox-root")).ok, "ok");
    const root = join(base, "root");
    mkdirSync(join(root, "bin"), { recursive: true });
    const ready = { kind: "ready", name: root, directory: root } as const;
    assert.equal((await check("sandbox-root", { sandboxRoot: ready })).ok, "fail");
    symlinkSync("/bin/busybox", join(root, "bin/sh"));
    assert.equal((await check("sandbox-root", { sandboxRoot: ready })).ok, "ok");
    const coming = await check("sandbox-root", { sandboxRoot: { kind: "coming", name: "auto", progress: "3.0 MB of 9.0 MB (33%)" } });
    assert.deepEqual([coming.ok, coming.detail], ["warn", "auto is not here yet: 3.0 MB of 9.0 MB (33%)"]);
    const failed = await check("sandbox-root", { sandboxRoot: { kind: "failed", name: "/x", reason: "/x is no more", hint: undefined } });
    assert.deepEqual([failed.ok, failed.detail], ["fail", "/x is no more"]);
    assert.equal((await check("socket-path", { socketPath: `/${"x".repeat(106)}` })).ok, "ok");
    const long = await check("socket-path", { socketPath: `/${"x".repeat(107)}` });
    assert.deepEqual([long.ok, long.needed], ["fail", true]);
  });

  it("warns an ordinary user who may limit nothing together", async () => {
    const probe = join(import.meta.dirname, "doctor-subject.ts");
    mkdirSync("/run/checkout");
    execFileSync("mount", ["--bind", join(import.meta.dirname, "../.."), "/run/checkout"]);
    const words = [
      "--reuid",
      "64201",
      "--regid",
      "64201",
      "--clear-groups",
      "/run/checkout/node_modules/.bin/node",
      "/run/checkout/test/kernel/doctor-subject.ts",
    ];
    assert.ok(existsSync(probe));
    const report = JSON.parse(
      execFileSync("setpriv", [...words, JSON.stringify({ user: { uid: 64201 } })], { encoding: "utf8", cwd: "/" }),
    ) as {
      checks: CheckResult[];
    };
    const found = report.checks.find((one) => one.name === "cgroup-delegation");
    assert.equal(found?.ok, "warn");
    assert.match(found?.remedy ?? "", /Delegate=yes/);
  });
});
