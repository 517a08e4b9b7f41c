import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import type { Name } from "../../src/base/names.ts";
import { facilityOperations } from "../../src/daemon/facility-operations.ts";
import type { Context } from "../../src/api/contract.ts";
import { silentLog } from "../../src/base/log.ts";
import { facilitySpec } from "../../src/spec/facility.ts";
import { FacilityBed } from "./facility-bed.ts";
import { GitServer } from "./git-server.ts";

/** A repository whose author means harm as well: hooks cannot come along, but submodules, filters and links can. */
const script = (sprung: string) => `
  git init -q -b main . && git config user.email x@x && git config user.name x
  echo one >file && ln -s /etc/passwd link && printf '* filter=evil diff=evil\\n' >.gitattributes && git add . && git commit -qm one && git tag v1
  git branch other && printf '[submodule "s"]\\n\\tpath = s\\n\\turl = ext::touch ${sprung}/submodule\\n' >.gitmodules
  mkdir -p .githooks && printf '#!/bin/sh\\ntouch ${sprung}/hook\\n' >.githooks/post-checkout && chmod +x .githooks/post-checkout
  echo two >file && git add . && git update-index --add --cacheinfo 160000,$(git rev-parse HEAD),s && git commit -qm two
`;

describe("a facility that begins with a clone", { timeout: 300_000 }, () => {
  let bed: FacilityBed;
  let server: GitServer;
  let sprung: string;
  let served: string;
  before(async () => {
    execFileSync("ip", ["link", "set", "lo", "up"]);
    bed = new FacilityBed();
    sprung = mkdtempSync(join(tmpdir(), "nexus-sprung-"));
    chmodSync(sprung, 0o777);
    served = join(bed.directory, "served");
    mkdirSync(join(served, "project"), { recursive: true });
    execFileSync("sh", ["-e", "-c", script(sprung)], {
      cwd: join(served, "project"),
      env: { PATH: process.env["PATH"] ?? "", HOME: "/nonexistent" },
    });
    server = await GitServer.below(served);
  });
  after(async () => {
    await server[Symbol.asyncDispose]();
    await bed[Symbol.asyncDispose]();
    rmSync(sprung, { recursive: true, force: true });
  });
  const git = async (name: string, line: string) => (await bed.sh(name, `HOME=/nonexistent git ${line}`)).said.trim();
  const made = async (name: string, clone: { url: string; ref?: string }, how = {}) => {
    await bed.make(name, { clone }, how);
    assert.deepEqual(readdirSync(sprung), [], "something of the repository was run");
  };
  const refused = async (clone: { url: string; ref?: string }, how = {}, size = "48M") => {
    const { error } = await bed.make("refused", { clone, size }, how).then(
      () => assert.fail("it was cloned"),
      (reason: unknown) => ({ error: reason as Error & { code: string; hint?: string } }),
    );
    assert.equal(
      (await bed.facilities.list()).some(({ name }) => name === "refused"),
      false,
    );
    assert.equal(existsSync(join(bed.directory, "state/facilities/refused")), false);
    return error;
  };

  it("has the files of its branch as the facility's own, its history, and nothing that was run", async () => {
    const lines: string[] = [];
    await made("web", { url: server.url("project") }, { progress: (line: string) => lines.push(line) });
    assert.ok(
      lines.some((line) => line.includes("Cloning")),
      lines.join("\n"),
    );
    assert.equal(readFileSync(join(bed.workspace("web"), "file"), "utf8"), "two\n");
    assert.equal(await git("web", "log --format=%s"), "two\none");
    assert.equal(await git("web", "status --porcelain"), "");
    assert.deepEqual(readdirSync(join(bed.workspace("web"), "s")), []);
    assert.deepEqual((await bed.sh("web", "find . ! -user $(id -u)")).said, "");
    const config = readFileSync(join(bed.workspace("web"), ".git/config"), "utf8");
    assert.doesNotMatch(config, /credential|filter|hooksPath|submodule/);
    assert.equal(existsSync(join(bed.workspace("web"), ".git/hooks")), false);
    // What was cloned is what a diff compares with, also when commits are made.
    assert.deepEqual((await bed.diff("web")).files, []);
    await bed.sh("web", "echo three >file && echo new >untracked && git -c user.name=x -c user.email=x@x commit -qam three");
    assert.deepEqual((await bed.diff("web")).paths, ["file", "untracked"]);
  });

  it("has the branch, tag or commit it was asked for, and is refused for one there is not", async () => {
    const url = server.url("project");
    for (const ref of ["other", "v1", await git("web", "rev-parse v1")]) {
      await made("ref", { url, ref });
      assert.equal(readFileSync(join(bed.workspace("ref"), "file"), "utf8"), "one\n", ref);
      await bed.remove("ref");
    }
    for (const address of [url, `file://${served}/project`]) {
      for (const ref of ["absent", "0".repeat(40), "1".repeat(40)]) {
        const { code, message, hint } = await refused({ url: address, ref });
        assert.deepEqual([code, message], ["not-found", `${address} has no branch, tag or commit ${ref}`]);
        assert.equal(hint, `\`git ls-remote ${address}\` lists what it has`);
      }
    }
    assert.match((await refused({ url: server.url("no/such") })).message, /not found/);
  });

  it("gives a credential to the server, and to nobody and nothing else", async () => {
    server.wanted = "me:s3cret word";
    const url = server.url("project");
    const missing = await refused({ url });
    assert.deepEqual([missing.code, missing.hint?.includes("--credential FILE")], ["not-permitted", true]);
    assert.match((await refused({ url }, { credential: { username: "me", password: "wrong" } })).hint ?? "", /did not take/);
    await made("secret", { url }, { credential: { username: "me", password: "s3cret word" } });
    const places = [
      "-r",
      "-a",
      "-l",
      "s3cret",
      bed.workspace("secret"),
      join(bed.directory, "state/nexus.db"),
      join(bed.directory, "state/facilities/secret/remembered"),
    ];
    assert.throws(() => execFileSync("grep", places), { status: 1 });
    server.wanted = undefined;
    assert.deepEqual((await bed.facilities.inspect("secret" as Name)).clone, { url });
  });

  it("gives no credential to a server it is sent on to, nor over a way where others read it", async () => {
    await using other = await GitServer.below(served);
    other.wanted = "me:s3cret";
    server.redirect = `http://127.0.0.1:${other.port}`;
    await refused({ url: server.url("project") }, { credential: { username: "me", password: "s3cret" } });
    assert.ok(other.asked.length > 0, "it was not sent on");
    assert.ok(other.asked.every(({ authorization }) => authorization === undefined));
    server.redirect = undefined;
    const open = await refused({ url: "http://example.invalid/p.git" }, { credential: { username: "me", password: "s3cret" } });
    assert.deepEqual([open.code, open.message.includes("s3cret")], ["not-permitted", false]);
  });

  it("follows no redirect to another transport", async () => {
    for (const target of ["file://", "ext::touch ", "git://127.0.0.1"]) {
      server.redirect = `${target}${served}`;
      await refused({ url: server.url("project") });
    }
    server.redirect = undefined;
    assert.deepEqual(readdirSync(sprung), []);
  });

  it("takes the host's own repositories, those everybody may read, for root alone", async () => {
    const url = `file://${served}/project`;
    await made("near", { url });
    assert.equal(await git("near", "log --format=%s"), "two\none");
    mkdirSync(join(bed.directory, "closed"), { mode: 0o700 });
    execFileSync("git", ["clone", "-q", "--bare", join(served, "project"), join(bed.directory, "closed/p.git")]);
    assert.match((await refused({ url: `file://${bed.directory}/closed/p.git` })).hint ?? "", /must be able to read it/);
    const create = facilityOperations(bed.facilities)["facility.create"];
    const context: Context = {
      peer: { uid: 1000, gid: 1000, pid: 1 },
      signal: new AbortController().signal,
      progress() {},
      log: silentLog,
    };
    const body = { ...facilitySpec.parse({ name: "refused", clone: { url } }), credential: undefined };
    await assert.rejects(create({ params: {}, query: {}, body }, context), { code: "not-permitted" });
  });

  it("that does not fit is refused with what to do, and leaves the host its room", async () => {
    execFileSync(
      "sh",
      [
        "-e",
        "-c",
        "git init -q --bare big.git && git clone -q big.git big 2>&1 && cd big && head -c 20000000 /dev/urandom >blob && git add blob && git -c user.name=x -c user.email=x@x commit -qm big && git push -q origin HEAD",
      ],
      { cwd: served, stdio: "pipe" },
    );
    const error = await refused({ url: server.url("big.git") }, {}, "28M");
    assert.match(error.message, /does not fit/);
    assert.deepEqual([error.code, error.hint?.includes("--size")], ["too-large", true]);
  });

  it("ends with whoever asked for it", async () => {
    const stop = new AbortController();
    const spec = facilitySpec.parse({ name: "refused", size: "48M", clone: { url: server.url("project") } });
    const asked = bed.facilities.create(spec, { signal: stop.signal, progress: () => stop.abort(new Error("enough")) });
    await assert.rejects(asked, /enough/);
    assert.equal(existsSync(join(bed.directory, "state/facilities/refused")), false);
  });
});
