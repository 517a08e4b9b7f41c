import { describe, test } from "node:test";
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { KernelError, NexusError } from "../../src/base/errors.ts";
import {
  createNamespace,
  inNetns,
  listNamespaces,
  namespaceExists,
  namespaceId,
  namespacePath,
  openNamespace,
  ownNamespace,
  pinNamespace,
  removeNamespace,
  removeNamespaceAsync,
  sameNamespace,
} from "../../src/kernel/namespaces.ts";
import { isMounted, listMounts, mount, mountOverlay, unmount } from "../../src/kernel/mounts.ts";
import { readSysctl, writeSysctl } from "../../src/kernel/sysctl.ts";
import { warmThreadpool } from "../../src/sys/threadpool.ts";

describe("network namespaces", () => {
  test("are seen by `ip netns`, and ours sees those of `ip netns`", () => {
    createNamespace("ours");
    execFileSync("ip", ["netns", "add", "theirs"]);
    assert.deepEqual(
      execFileSync("ip", ["netns", "list"], { encoding: "utf8" })
        .split(/\s+/)
        .filter((w) => w !== "")
        .toSorted(),
      ["ours", "theirs"],
    );
    assert.deepEqual(listNamespaces(), ["ours", "theirs"]);
    assert.ok(namespaceExists("ours") && !namespaceExists("nobodys"));
    removeNamespace("theirs");
    execFileSync("ip", ["netns", "delete", "ours"]);
    assert.deepEqual(listNamespaces(), []);
    assert.deepEqual(readdirSync("/run/netns"), []);
  });

  test("leave nothing behind after 200 rounds", () => {
    createNamespace("warm");
    removeNamespace("warm");
    const before = { fds: readdirSync("/proc/self/fd").length, mounts: listMounts().length, files: readdirSync("/run/netns").length };
    const home = namespaceId("/proc/thread-self/ns/net");
    for (let i = 0; i < 200; i++) {
      createNamespace("round");
      removeNamespace("round");
    }
    assert.deepEqual(
      { fds: readdirSync("/proc/self/fd").length, mounts: listMounts().length, files: readdirSync("/run/netns").length },
      before,
    );
    assert.deepEqual(namespaceId("/proc/thread-self/ns/net"), home);
  });

  test("refuse a name that is taken and leave the one that has it alone", () => {
    createNamespace("taken");
    const id = namespaceId(namespacePath("taken"));
    assert.throws(
      () => createNamespace("taken"),
      (error: unknown) => error instanceof NexusError && error.code === "name-taken",
    );
    assert.deepEqual(namespaceId(namespacePath("taken")), id);
    removeNamespace("taken");
    removeNamespace("taken");
    assert.ok(!namespaceExists("taken"));
  });

  test("leave no file when the mount is refused, and the caller where it was", () => {
    execFileSync("ip", ["link", "add", "marker", "type", "bridge"]);
    const directory = mkdtempSync(join(tmpdir(), "netns-"));
    writeFileSync(join(directory, "net"), "");
    // The namespace's file is replaced by one that opens as always but cannot be bound anywhere: the last step fails.
    const script = `
      import { execFileSync } from "node:child_process";
      import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
      import { createNamespace } from "${module("namespaces.ts")}";
      import { mount } from "${module("mounts.ts")}";
      const directory = process.argv[1];
      mount({ source: "/proc/self/ns/net", target: directory + "/net", flags: ["bind"] });
      mount({ source: "none", target: "/proc", type: "tmpfs" });
      mkdirSync("/proc/thread-self/ns", { recursive: true });
      writeFileSync("/proc/thread-self/ns/net", "");
      mount({ source: directory + "/net", target: "/proc/thread-self/ns/net", flags: ["bind"] });
      mount({ source: "", target: "/proc/thread-self/ns/net", flags: ["unbindable"] });
      try { createNamespace("x", { directory: directory + "/run" }); } catch (error) { console.log(error.message); }
      console.log(execFileSync("ip", ["-br", "link", "show", "marker"], { encoding: "utf8" }));`;
    const node = [process.execPath, "--input-type=module", "-e", script, directory];
    const said = execFileSync("unshare", ["-m", "--propagation", "private", ...node], { encoding: "utf8" });
    assert.match(said, /^pin network namespace x: EINVAL \(Invalid argument\)\nmarker /);
    assert.deepEqual(readdirSync(join(directory, "run")), []);
    rmSync(directory, { recursive: true });
    execFileSync("ip", ["link", "delete", "marker"]);
  });

  test("are pinned from a process too, and outlive it", async () => {
    const child = spawn("unshare", ["-n", "sh", "-c", "echo ready; read _"], { stdio: ["pipe", "pipe", "inherit"] });
    await once(child.stdout, "data");
    const id = namespaceId(`/proc/${child.pid}/ns/net`);
    pinNamespace("pinned", child.pid ?? 0);
    child.kill("SIGKILL");
    await once(child, "exit");
    assert.deepEqual(namespaceId(namespacePath("pinned")), id);
    assert.throws(
      () => pinNamespace("gone", child.pid ?? 0),
      (error: unknown) => error instanceof KernelError && error.errno === "ENOENT",
    );
    removeNamespace("pinned");
    assert.deepEqual(readdirSync("/run/netns"), []);
  });

  test("do not take what only looks like one", () => {
    writeFileSync("/run/netns/leftover", "");
    assert.deepEqual(listNamespaces(), []);
    assert.ok(!namespaceExists("leftover"));
    assert.throws(
      () => openNamespace("/run/netns/leftover"),
      (error: unknown) => error instanceof NexusError && error.code === "not-found",
    );
    assert.throws(
      () => openNamespace("/run/netns/none"),
      (error: unknown) => error instanceof KernelError && error.errno === "ENOENT",
    );
    assert.throws(() => namespacePath("../etc"), NexusError);
    createNamespace("leftover");
    assert.deepEqual(listNamespaces(), ["leftover"], "what a crash left is taken over");
    removeNamespace("leftover");
    writeFileSync("/run/netns/leftover", "");
    removeNamespace("leftover");
    assert.deepEqual(readdirSync("/run/netns"), []);
  });

  test("are let go on a thread as they are on this one: mounted once, twice, not at all, or not there", async () => {
    createNamespace("once");
    createNamespace("twice");
    execFileSync("mount", ["--bind", "/run/netns/once", "/run/netns/twice"]);
    writeFileSync("/run/netns/bare", "");
    const mounts = listMounts().length;
    await Promise.all(["once", "twice", "bare", "none"].map((name) => removeNamespaceAsync(name)));
    assert.deepEqual(readdirSync("/run/netns"), []);
    assert.equal(listMounts().length, mounts - 3);
  });

  test("are let go in other mount namespaces too, which would keep them alive", async () => {
    createNamespace("shared");
    const child = spawn(
      "unshare",
      ["-m", "--propagation", "slave", "sh", "-c", "echo ready; read _; grep -c /run/netns/shared /proc/self/mountinfo; true"],
      { stdio: ["pipe", "pipe", "inherit"] },
    );
    let said = "";
    child.stdout.setEncoding("utf8");
    const ready = Promise.withResolvers<void>();
    child.stdout.on("data", (text: string) => {
      said += text;
      if (said.includes("ready")) ready.resolve();
    });
    await ready.promise;
    removeNamespace("shared");
    child.stdin.end("go\n");
    await new Promise((resolve) => child.on("close", resolve));
    assert.equal(said, "ready\n0\n");
  });
});

describe("the window into another namespace", () => {
  test("puts sockets and children inside, and closes whatever happens in it", () => {
    createNamespace("window");
    using netns = openNamespace(namespacePath("window"));
    const home = namespaceId("/proc/thread-self/ns/net");
    assert.deepEqual(
      inNetns(netns, () => namespaceId("/proc/thread-self/ns/net")),
      namespaceId(netns),
    );
    assert.match(
      inNetns(netns, () => execFileSync("ip", ["-o", "link"], { encoding: "utf8" })),
      /^1: lo/,
    );
    assert.throws(
      () =>
        inNetns(netns, () => {
          throw new RangeError("on purpose");
        }),
      RangeError,
    );
    assert.deepEqual(namespaceId("/proc/thread-self/ns/net"), home);
    removeNamespace("window");
    assert.deepEqual(
      inNetns(netns, () => inNetns(netns, () => 7)),
      7,
      "a removed namespace is usable while a descriptor is open",
    );
  });

  test("cannot be opened on what is no namespace, and takes no promise", () => {
    const home = namespaceId("/proc/thread-self/ns/net");
    assert.throws(
      () => inNetns(0, () => 1),
      (error: unknown) => error instanceof KernelError,
    );
    using own = ownNamespace();
    // @ts-expect-error asynchronous work would run outside
    assert.ok(inNetns(own, () => Promise.resolve(1)));
    assert.ok(sameNamespace(namespaceId(own), home));
  });

  test("finds every thread of the pool at home once the pool is warm", async () => {
    await warmThreadpool();
    createNamespace("pool");
    using netns = openNamespace(namespacePath("pool"));
    const busy = inNetns(netns, () => ({
      all: Promise.all(Array.from({ length: 16 }, () => import("node:fs/promises").then((fs) => fs.stat("/")))),
    }));
    await busy.all;
    const threads = readdirSync("/proc/self/task").map((task) => namespaceId(`/proc/self/task/${task}/ns/net`).ino);
    assert.deepEqual([...new Set(threads)], [namespaceId("/proc/thread-self/ns/net").ino]);
    removeNamespace("pool");
  });
});

describe("kernel settings", () => {
  test("are read and written in the namespace that is meant, and tell the value before", () => {
    createNamespace("sysctl");
    using netns = openNamespace(namespacePath("sysctl"));
    const path = ["net", "ipv4", "conf", "lo", "forwarding"] as const;
    assert.equal(readSysctl(path), "0");
    assert.equal(writeSysctl(path, 1, { netns }), "0");
    assert.equal(writeSysctl(path, 1, { netns }), "1");
    assert.equal(readSysctl(path, { netns }), "1");
    assert.equal(readSysctl(path), "0");
    removeNamespace("sysctl");
  });

  test("take interface names with dots, and tell an absent setting from a refused one", () => {
    createNamespace("dots");
    using netns = openNamespace(namespacePath("dots"));
    inNetns(netns, () => void execFileSync("ip", ["link", "add", "a.b", "type", "bridge"]));
    assert.equal(writeSysctl(["net", "ipv6", "conf", "a.b", "accept_ra"], 0, { netns }), "1");
    assert.equal(readSysctl(["net", "ipv6", "conf", "nope", "accept_ra"], { netns }), undefined);
    assert.throws(
      () => writeSysctl(["net", "ipv4", "ip_forward"], "many", { netns }),
      (error: unknown) => error instanceof KernelError && error.message.startsWith("set net/ipv4/ip_forward to many: EINVAL"),
    );
    assert.throws(() => readSysctl(["net", "..", "kernel"]), NexusError);
    removeNamespace("dots");
  });
});

describe("mounts", () => {
  test("are made, listed with their escapes undone, and taken off", () => {
    const base = mkdtempSync(join(tmpdir(), "mounts-"));
    const target = join(base, "with space\\and\ttab");
    mkdirSync(target);
    mount({ source: "tmpfs", target, type: "tmpfs", flags: ["noSuid", "noDev"], data: "size=64k" });
    const entry = listMounts().find((m) => m.target === target);
    assert.equal(entry?.type, "tmpfs");
    assert.ok(entry?.options.includes("nosuid"));
    assert.ok(isMounted(target));
    assert.equal(unmount(target), true);
    assert.equal(unmount(target), false);
    assert.ok(!isMounted(target));
    assert.throws(
      () => mount({ source: "none", target: join(base, "none"), type: "tmpfs" }),
      (error: unknown) => error instanceof KernelError && error.errno === "ENOENT" && error.op.startsWith("mount tmpfs on "),
    );
    rmSync(base, { recursive: true });
  });

  test("lay layers over each other whatever characters their paths have", () => {
    const base = mkdtempSync(join(tmpdir(), "overlay-"));
    // overlayfs does not take another overlay as its upper layer.
    mount({ source: "tmpfs", target: base, type: "tmpfs" });
    const paths = {
      top: join(base, "a:b,c"),
      bottom: join(base, "d\\e f"),
      upper: join(base, "up,per"),
      work: join(base, "work:"),
      target: join(base, "merged"),
    };
    for (const path of Object.values(paths)) mkdirSync(path);
    writeFileSync(join(paths.top, "both"), "top");
    writeFileSync(join(paths.bottom, "both"), "bottom");
    writeFileSync(join(paths.bottom, "low"), "low");
    mountOverlay({ lower: [paths.top, paths.bottom], upper: paths.upper, work: paths.work, target: paths.target });
    assert.equal(readFileSync(join(paths.target, "both"), "utf8"), "top");
    assert.equal(readFileSync(join(paths.target, "low"), "utf8"), "low");
    writeFileSync(join(paths.target, "new"), "new");
    assert.equal(readFileSync(join(paths.upper, "new"), "utf8"), "new");
    unmount(paths.target);
    unmount(base);
    rmSync(base, { recursive: true });
    const lower = Array.from({ length: 60 }, (_, i) => `/layer/${i}/${"x".repeat(80)}`);
    assert.throws(
      () => mountOverlay({ lower, upper: "/u", work: "/w", target: "/t" }),
      (error: unknown) => error instanceof KernelError && error.errno === "E2BIG",
    );
  });
});

function module(name: string): string {
  return new URL(`../../src/kernel/${name}`, import.meta.url).href;
}
