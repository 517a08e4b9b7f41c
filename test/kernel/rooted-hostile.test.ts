import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import fc from "fast-check";
import { NexusError } from "../../src/base/errors.ts";
import type { Rooted } from "../../src/kernel/rooted.ts";
import { listDirectory, makeDirectory, openToRead, removeFile, renameFile, writeFile } from "../../src/kernel/rooted-files.ts";
import { RootedBed } from "./rooted-bed.ts";

const path = (text: string) => Buffer.from(text);

async function read(root: Rooted, name: string): Promise<string> {
  const { file } = await openToRead(root, path(name));
  await using _ = file;
  return (await file.readFile()).toString();
}

const write = (root: Rooted, name: string, how: "replace" | "create" | "append" = "replace") =>
  writeFile(root, path(name), { bytes: Buffer.from("written\n"), how, sync: false });

/** The codes with which something is refused, or what it gave. */
async function outcome(work: () => unknown): Promise<string> {
  try {
    return `went through: ${JSON.stringify(await work())}`;
  } catch (error) {
    assert.ok(error instanceof NexusError, String(error));
    return error.code;
  }
}

describe("a process that means harm", { timeout: 120_000 }, () => {
  let bed: RootedBed;
  let root: Rooted;
  before(async () => {
    bed = await RootedBed.make();
    root = bed.open();
  });
  after(async () => {
    root[Symbol.dispose]();
    await bed[Symbol.asyncDispose]();
  });
  const secretIsSafe = () => {
    assert.equal(readFileSync(bed.secret, "utf8"), "the host's\n");
    assert.deepEqual(readdirSync(bed.directory).toSorted(), ["hosts", "root", "secret", "volume"]);
  };

  it("gets nothing out by links to the host's files, by .., or by deep ..", async () => {
    const ups = "../".repeat(40);
    await bed.run(
      `mkdir -p /l/d; ln -s ${bed.secret} /l/abs; ln -s ${ups}${bed.secret.slice(1)} /l/up; ln -s ../secret /beside; ln -s /.. /l/above`,
    );
    for (const name of [
      "/l/abs",
      "/l/up",
      "/beside",
      "/l/above/secret",
      "/../secret",
      `/l/d/${ups}secret`,
      `/${ups}${bed.secret.slice(1)}`,
    ])
      assert.equal(await outcome(() => read(root, name)), "not-found", name);
    // A link that leads to where nothing is: the file is made inside, where the link means it.
    await bed.run(`mkdir -p ${bed.directory}`);
    await write(root, "/l/abs");
    assert.equal(readFileSync(join(bed.root, bed.secret), "utf8"), "written\n");
    secretIsSafe();
  });

  it("gets nothing out by the links the kernel makes, nor by links to them", async () => {
    await bed.run(`ln -s /proc/1/root /l/root; ln -s /proc/self/root /l/self; ln -s /proc/1/cwd /l/cwd`);
    const to = bed.secret.slice(1);
    for (const way of [
      "/proc/1/root",
      "/proc/self/root",
      `/proc/${process.pid}/root`,
      "/l/root",
      "/l/self",
      "/proc/self/cwd/../../../../../..",
    ]) {
      for (const attempt of [
        () => read(root, `${way}/${to}`),
        () => write(root, `${way}/${to}`),
        () => write(root, `${way}/${to}.new`, "create"),
        () => removeFile(root, path(`${way}/${to}`), false),
        () => renameFile(root, { from: path("/l/up"), to: path(`${way}/${to}`) }, { replace: true }),
        () => makeDirectory(root, path(`${way}/${bed.directory.slice(1)}/made`), 0o755),
        async () => (await listDirectory(root, path(`${way}/${bed.directory.slice(1)}`), 10)).entries.length,
      ])
        assert.equal(await outcome(attempt), "not-permitted", `${way}: ${attempt.toString()}`);
    }
    const fds = await outcome(() => read(root, "/proc/self/fd/0"));
    assert.ok(fds === "not-permitted" || fds === "not-found", fds);
    secretIsSafe();
  });

  it("cannot have us give the kernel commands, by what /proc and /sys show as files", async () => {
    await bed.run("mount -t sysfs sysfs /sys; ln -s /proc/sys/kernel/hostname /name; ln -s /proc/self/exe /exe");
    for (const name of [
      "/proc/sys/kernel/hostname",
      "/name",
      "/proc/kmsg",
      "/proc/self/oom_score_adj",
      "/sys/kernel/mm/transparent_hugepage/enabled",
    ]) {
      assert.equal(await outcome(() => read(root, name)), "unsupported", name);
      for (const how of ["replace", "append"] as const)
        assert.equal(await outcome(() => write(root, name, how)), "unsupported", `${how} ${name}`);
    }
    assert.equal(await outcome(() => write(root, "/exe")), "unsupported");
    assert.equal(await outcome(() => makeDirectory(root, path("/proc/made"), 0o755)), "unsupported");
    assert.equal(await outcome(() => removeFile(root, path("/proc/1"), true)), "unsupported");
  });

  it("cannot hold us up by a pipe, nor have us touch devices and sockets", async () => {
    await bed.run("mkdir /odd; mkfifo /odd/pipe; mknod /odd/zero c 1 5; mknod /odd/disk b 7 0; ln -s /odd/pipe /odd/link");
    const listener = spawn(
      process.execPath,
      ["-e", `require("net").createServer().listen(${JSON.stringify(join(bed.root, "odd/socket"))}, () => console.log("ready"))`],
      {
        stdio: ["ignore", "pipe", "inherit"],
      },
    );
    await once(listener.stdout, "data");
    for (const name of ["pipe", "zero", "disk", "link", "socket"]) {
      assert.equal(await outcome(() => read(root, `/odd/${name}`)), "unsupported", name);
      for (const how of ["replace", "append"] as const)
        assert.equal(await outcome(() => write(root, `/odd/${name}`, how)), "unsupported", name);
    }
    listener.kill("SIGKILL");
    await once(listener, "close");
    await removeFile(root, path("/odd"), true);
  });

  it("cannot hold us up by a lease on its file", async () => {
    await bed.run("echo leased >/leased");
    const script = `
      const fs = require("node:fs"), koffi = require(${JSON.stringify(join(import.meta.dirname, "../../node_modules/koffi"))});
      const fd = fs.openSync(${JSON.stringify(join(bed.root, "leased"))}, "r+");
      process.on("SIGIO", () => {});
      if (koffi.load("libc.so.6").func("int fcntl(int, int, long)")(fd, 1024, 1) !== 0) throw new Error("no lease: " + koffi.errno());
      console.log("ready"); setInterval(() => {}, 1000);`;
    const holder = spawn(process.execPath, ["-e", script], { stdio: ["ignore", "pipe", "inherit"] });
    await once(holder.stdout, "data");
    const began = performance.now();
    assert.equal(await outcome(() => read(root, "/leased")), "in-use");
    assert.equal(await outcome(() => write(root, "/leased", "append")), "in-use");
    assert.ok(performance.now() - began < 10_000, "the kernel would wait 45 s (lease-break-time)");
    holder.kill("SIGKILL");
    await once(holder, "close");
    assert.equal(await read(root, "/leased"), "leased\n");
  });

  it("wins no race by exchanging a directory for a link to the host while we work below it", async () => {
    await bed.run(
      `mkdir -p /race/real; echo inside >/race/real/secret; ln -s ${"../".repeat(30)}${bed.directory.slice(1)} /race/link; mkdir -p /race/away/down`,
    );
    await bed.run(
      "(while [ -e /race ]; do mv /race/real /race/d; mv /race/d /race/real; mv /race/link /race/d; mv /race/d /race/link; mv /race/away/down /race/down; mv /race/down /race/away/down; done) 2>/dev/null &",
    );
    const seen = new Map<string, number>();
    const end = performance.now() + 2000;
    while (performance.now() < end) {
      for (const name of ["/race/d/secret", "/race/d/../../secret", "/race/away/down/../../../../secret", "/race/d/../real/secret"])
        for (const attempt of [
          async () => assert.equal(await read(root, name), "inside\n"),
          () => removeFile(root, path(name.replace("real/secret", "none")), true),
          () => renameFile(root, { from: path("/race/none"), to: path(name) }, { replace: true }),
          () => write(root, name.replace(/secret$/, "made")),
        ]) {
          const said = await outcome(attempt);
          seen.set(said.split(":")[0] ?? "", (seen.get(said.split(":")[0] ?? "") ?? 0) + 1);
          if (!existsSync(join(bed.root, "race/real/secret")))
            await bed.run("echo inside >/race/new; mv /race/new /race/real/secret || rm -f /race/new");
        }
      secretIsSafe();
    }
    assert.ok((seen.get("went through") ?? 0) > 0 && seen.size > 1, JSON.stringify([...seen]));
    await bed.run("mv /race /raced; sleep 0.2; rm -rf /raced");
    secretIsSafe();
  });

  it("has its trees removed however it moves them, and nothing else", async () => {
    mkdirSync(join(bed.directory, "volume/host"));
    writeFileSync(join(bed.directory, "volume/host/file"), "kept");
    await bed.run("mkdir -p /tree; for i in 1 2 3 4 5 6 7 8; do mkdir -p /tree/$i/a/b/c; ln -s /volume /tree/$i/a/link; done");
    await bed.run("(while [ -e /tree ]; do mv /tree/1/a /tree/2/z; mv /tree/2/z /tree/1/a; mkdir -p /tree/3/q/r; done) 2>/dev/null &");
    const said = await outcome(() => removeFile(root, path("/tree"), true));
    assert.ok(said.startsWith("went through") || said === "in-use", said);
    assert.equal(readFileSync(join(bed.directory, "volume/host/file"), "utf8"), "kept");
    await bed.run("mv /tree /tree-left 2>/dev/null; sleep 0.1; rm -rf /tree /tree-left");
  });

  it("has trees deeper than we go refused, not half the daemon's descriptors taken", async () => {
    await bed.run("d=/pit; i=0; mkdir $d; cd $d; while [ $i -lt 300 ]; do mkdir d; cd d; i=$((i + 1)); done; cd /");
    const before = readdirSync("/proc/self/fd").length;
    assert.equal(await outcome(() => removeFile(root, path("/pit"), true)), "too-large");
    assert.equal(readdirSync("/proc/self/fd").length, before);
    await bed.run("rm -rf /pit");
  });

  it("meets, whatever path is asked for, an answer from inside or one of our refusals", async () => {
    const part = fc.constantFrom(
      "..",
      ".",
      "",
      "etc",
      "proc",
      "self",
      "root",
      "1",
      "l",
      "above",
      "root",
      "fd",
      "link",
      "mounted",
      "secret",
      "\n",
      "é",
      "\u{10ffff}",
    );
    const before = readdirSync("/proc/self/fd").length;
    await fc.assert(
      fc.asyncProperty(fc.array(part, { maxLength: 12 }), async (parts) => {
        const name = `/${parts.join("/")}`;
        const said = await outcome(async () => await read(root, name));
        assert.ok(!said.includes("the host's"), name);
        await outcome(async () => (await listDirectory(root, path(name), 5)).more);
      }),
      { numRuns: 300 },
    );
    secretIsSafe();
    assert.equal(readdirSync("/proc/self/fd").length, before, "no descriptor is left open");
  });
});
