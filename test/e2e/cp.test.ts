import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { until } from "../kernel/world/until.ts";
import { Bed } from "./recovery-bed.ts";

const program = fileURLToPath(new URL("../../nexus", import.meta.url));

describe("nexus cp", { timeout: 180_000 }, () => {
  let bed: Bed;
  const here = mkdtempSync(join(tmpdir(), "nexus-cp-"));
  const at = (name: string) => join(here, name);
  before(async () => {
    bed = await Bed.make();
    bed.daemon.named.add("web");
    await bed.client.call("node.create", { body: { name: "web", command: ["sleep", "100000"] } });
  });
  after(async () => {
    await bed[Symbol.asyncDispose]();
    rmSync(here, { recursive: true, force: true });
  });

  const cp = async (...words: string[]) => {
    const said = await bed.nexus("cp", ...words);
    assert.equal(said.code, 0, said.err);
    return said;
  };
  const inside = async (script: string): Promise<string> => {
    const said = await bed.nexus("node", "exec", "web", "--", "sh", "-c", script);
    assert.equal(said.code, 0, said.err);
    return said.out;
  };

  /** With bytes in on stdin, bytes out on stdout. */
  async function piped(words: string[], input: Uint8Array): Promise<{ code: number | null; out: Buffer }> {
    const child = spawn(program, ["cp", ...words], {
      stdio: ["pipe", "pipe", "inherit"],
      env: { ...process.env, NEXUS_SOCKET: bed.daemon.places.socket },
    });
    child.stdin.end(input);
    const [out] = await Promise.all([buffer(child.stdout), once(child, "close")]);
    return { code: child.exitCode, out };
  }

  it("carries any bytes and permissions in and out, small and large", async () => {
    for (const [name, size] of [
      ["empty", 0],
      ["small", 1000],
      ["exact", 1024 * 1024],
      ["large", 5 * 1024 * 1024 + 3],
    ] as const) {
      const bytes = randomBytes(size);
      writeFileSync(at(name), bytes);
      chmodSync(at(name), 0o750);
      await cp(at(name), `web:/srv-${name}`);
      await cp(`web:/srv-${name}`, at("back"));
      assert.ok(readFileSync(at("back")).equals(bytes), name);
      assert.equal(statSync(at("back")).mode & 0o7777, 0o750);
      assert.equal(await inside(`stat -c '%a %s %u' /srv-${name}`), `750 ${size} 0\n`);
    }
    assert.equal(await inside("ls -a / | grep -c nexus || true"), "0\n", "no temporary file is left");
  });

  it("puts things into a directory under their own name, as from a pipe and into one", async () => {
    mkdirSync(at("into"));
    writeFileSync(at("a"), "a\n");
    await cp(at("a"), "web:/tmp");
    await cp("web:/tmp/a", at("into"));
    assert.equal(readFileSync(at("into/a"), "utf8"), "a\n");
    const bytes = randomBytes(3 * 1024 * 1024);
    assert.equal((await piped(["-", "web:/tmp/piped"], bytes)).code, 0);
    const { code, out } = await piped(["web:/tmp/piped", "-"], Buffer.alloc(0));
    assert.ok(code === 0 && out.equals(bytes));
  });

  it("carries directories with what is in them, and leaves links and pipes out, saying so", async () => {
    mkdirSync(at("tree/sub/deep"), { recursive: true });
    writeFileSync(at("tree/one"), "1");
    writeFileSync(at("tree/sub/deep/two"), "2", { mode: 0o600 });
    symlinkSync("/etc/shadow", at("tree/link"));
    const said = await cp(at("tree"), "web:/tree");
    assert.match(said.err, /left out: .*tree\/link/);
    assert.equal(await inside("cd /tree && find . | sort"), ".\n./one\n./sub\n./sub/deep\n./sub/deep/two\n");
    await inside(
      "ln -s /etc/passwd /tree/out; mkfifo /tree/pipe; ln -s /etc /tree/sub/etc; echo 3 >/tree/three; printf x >\"/tree/$(printf 'a\\377b')\"",
    );
    const back = await cp("web:/tree", at("back-tree"));
    assert.match(back.err, /left out: web:\/tree\/out\n/);
    assert.match(back.err, /left out: .*no text/);
    assert.deepEqual(readdirSync(at("back-tree"), { recursive: true }).map(String).toSorted(), [
      "one",
      "sub",
      "sub/deep",
      "sub/deep/two",
      "three",
    ]);
    assert.equal(statSync(at("back-tree/sub/deep/two")).mode & 0o7777, 0o600);
    // Once more into what is there: it is added to, and a link in the way is not followed.
    mkdirSync(at("merge/tree"), { recursive: true });
    writeFileSync(at("merge/tree/kept"), "kept");
    await cp("web:/tree", at("merge"));
    assert.deepEqual(readdirSync(at("merge/tree")).toSorted(), ["kept", "one", "sub", "three"]);
    mkdirSync(at("elsewhere"));
    rmSync(at("merge/tree/sub"), { recursive: true });
    symlinkSync(at("elsewhere"), at("merge/tree/sub"));
    assert.equal((await bed.refusal("cp", "web:/tree", at("merge"))).error.code, "wrong-state");
    assert.deepEqual(readdirSync(at("elsewhere")), []);
  });

  it("carries no set-user-id bit, follows no link out, and opens no device", async () => {
    await inside("cp /bin/busybox /tmp/suid; chmod 4755 /tmp/suid; ln -sf /../../../../etc/hostname /tmp/host; mkfifo /tmp/fifo");
    await cp("web:/tmp/suid", at("suid"));
    assert.equal(statSync(at("suid")).mode & 0o7777, 0o755);
    assert.equal((await bed.refusal("cp", "web:/tmp/fifo", at("x"))).error.code, "unsupported");
    assert.equal((await bed.refusal("cp", "web:/dev/zero", at("x"))).error.code, "unsupported");
    assert.equal((await bed.refusal("cp", "web:/proc/1/root/etc/hostname", at("x"))).error.code, "not-permitted");
    assert.equal((await bed.refusal("cp", "web:/proc/cmdline", at("x"))).error.code, "unsupported");
    const told = await bed.nexus("cp", "web:/tmp/host", at("host"));
    if (told.code === 0) assert.equal(readFileSync(at("host"), "utf8"), await inside("cat /etc/hostname"));
  });

  it("writes what Nexus has mounted in a node, hosts and resolv.conf, in place", async () => {
    writeFileSync(at("hosts"), "127.0.0.1 localhost extra\n");
    await cp(at("hosts"), "web:/etc/hosts");
    assert.equal(await inside("cat /etc/hosts"), "127.0.0.1 localhost extra\n");
    assert.equal((await bed.client.call("file.stat", { params: { name: "web" }, query: { path: "/etc/hosts" } })).kind, "file");
    const error = await bed.client.call("file.remove", { params: { name: "web" }, query: { path: "/etc/hosts" } }).catch((e: unknown) => e);
    assert.match(String(error), /mounted/);
  });

  it("follows a link at its end on either side, for files of every size", async () => {
    for (const size of [10, 2 * 1024 * 1024]) {
      await inside("rm -f /tmp/real /tmp/name; touch /tmp/real; ln -s real /tmp/name");
      writeFileSync(at("sized"), randomBytes(size));
      await cp(at("sized"), "web:/tmp/name");
      assert.equal(await inside("readlink /tmp/name; stat -c %s /tmp/real"), `real\n${size}\n`);
      rmSync(at("name"), { force: true });
      writeFileSync(at("real"), "");
      symlinkSync("real", at("name"));
      await cp("web:/tmp/name", at("name"));
      assert.ok(readFileSync(at("real")).equals(readFileSync(at("sized"))));
    }
  });

  it("takes away again what it had begun when it is interrupted, also while it waits for input", async () => {
    const child = spawn(program, ["cp", "-", "web:/tmp/begun"], {
      stdio: ["pipe", "inherit", "inherit"],
      env: { ...process.env, NEXUS_SOCKET: bed.daemon.places.socket },
    });
    child.stdin.on("error", () => undefined);
    child.stdin.write(randomBytes(3 * 1024 * 1024));
    await until("it has begun", async () => (await inside("ls -a /tmp")).includes(".nexus-"));
    const ended = once(child, "close");
    child.kill("SIGINT");
    assert.deepEqual(await ended, [130, null]);
    assert.doesNotMatch(await inside("ls -a /tmp"), /nexus|begun/);
  });

  it("leaves nothing half there when it fails, and says what and why", async () => {
    const missing = await bed.refusal("cp", "web:/no/such", at("x"));
    assert.deepEqual([missing.exit, missing.error.code], [4, "not-found"]);
    assert.match(missing.error.message, /web:\/no\/such/);
    assert.equal((await bed.refusal("cp", at("nothing"), "web:/x")).error.code, "not-found");
    assert.equal((await bed.refusal("cp", at("a"), "web:x")).error.code, "usage");
    assert.equal((await bed.refusal("cp", at("a"), at("b"))).error.code, "usage");
    assert.equal((await bed.refusal("cp", at("a"), "nobody:/x")).error.code, "not-found");
    assert.equal((await bed.refusal("cp", at("a"), "web:/not/there")).error.code, "not-found");
    assert.deepEqual(
      readdirSync(here).filter((name) => name.startsWith(".nexus")),
      [],
    );
    await bed.client.call("node.stop", { params: { name: "web" }, query: { grace: 0 } });
    assert.equal((await bed.refusal("cp", at("a"), "web:/x")).error.code, "wrong-state");
    await bed.client.call("node.start", { params: { name: "web" } });
  });

  it("keeps the daemon answering, and small, while much is copied", async () => {
    const bytes = randomBytes(64 * 1024 * 1024);
    const before = rss(bed.daemon.pid);
    const copying = piped(["-", "web:/big"], bytes);
    let slowest = 0;
    let done = false;
    void copying.finally(() => (done = true));
    while (!done) {
      const since = performance.now();
      await bed.client.call("health");
      slowest = Math.max(slowest, performance.now() - since);
    }
    assert.equal((await copying).code, 0);
    assert.ok((await piped(["web:/big", "-"], Buffer.alloc(0))).out.equals(bytes));
    assert.ok(slowest < 2000, `a request took ${slowest} ms`);
    assert.ok(rss(bed.daemon.pid) - before < 200, `the daemon grew by ${rss(bed.daemon.pid) - before} MiB`);
  });
});

function rss(pid: number): number {
  return Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) / 1024;
}
