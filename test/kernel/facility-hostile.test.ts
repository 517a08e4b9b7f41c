import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import type { Name } from "../../src/base/names.ts";
import { FacilityBed } from "./facility-bed.ts";

/** Everything by which a tree can have git run a program: each would leave a file in a directory that all may write. */
const traps = (sprung: string) => `
  git init -q . && git config user.email x@x && git config user.name x && echo one >tracked && git add tracked && git commit -qm one
  trap='sh -c "touch ${sprung}/$0; cat"'
  git config core.fsmonitor "touch ${sprung}/fsmonitor; false"
  git config core.hooksPath "$PWD/.hooks"; mkdir .hooks
  for hook in post-checkout pre-commit post-index-change post-commit reference-transaction; do
    printf '#!/bin/sh\\ntouch ${sprung}/hook-%s\\n' $hook >.hooks/$hook; cp .hooks/$hook .git/hooks/$hook; chmod +x .hooks/$hook .git/hooks/$hook
  done
  git config diff.external "touch ${sprung}/external; :"
  git config diff.evil.command "touch ${sprung}/diff-command; :"
  git config diff.evil.textconv "touch ${sprung}/textconv; cat"
  git config filter.evil.clean "touch ${sprung}/clean; cat"
  git config filter.evil.smudge "touch ${sprung}/smudge; cat"
  git config filter.evil.process "touch ${sprung}/process; false"
  git config core.attributesFile "$PWD/.gitattributes"
  git config core.pager "touch ${sprung}/pager; cat"
  git config core.sshCommand "touch ${sprung}/ssh; false"
  git config core.worktree /etc
  printf '* diff=evil filter=evil\\n' >.gitattributes
  mkdir nested && (cd nested && git init -q . && git config user.email x@x && git config user.name x && echo n >n && git add n && git commit -qm n &&
    git config core.fsmonitor "touch ${sprung}/nested-fsmonitor; false")
  mkdir broken broken/.git; echo in >broken/file
  mkdir pointed; echo "gitdir: /etc" >pointed/.git; echo in >pointed/file
  printf '[submodule "s"]\\n\\tpath = s\\n\\turl = ext::touch ${sprung}/submodule\\n\\tupdate = !touch ${sprung}/update\\n' >.gitmodules
`;

describe("a workspace that was made to harm who looks into it", { timeout: 300_000 }, () => {
  let bed: FacilityBed;
  let sprung: string;
  before(async () => {
    bed = new FacilityBed();
    sprung = mkdtempSync(join(tmpdir(), "nexus-sprung-"));
    execFileSync("chmod", ["777", sprung]);
    await bed.make("work", { size: "160M" });
  });
  after(async () => {
    await bed[Symbol.asyncDispose]();
    rmSync(sprung, { recursive: true, force: true });
  });
  const run = async (line: string) => {
    const { code, said } = await bed.sh("work", `export HOME=/nonexistent GIT_CONFIG_GLOBAL=/dev/null; ${line}`);
    assert.equal(code, 0, said);
  };

  it("has git run nothing: no hook, monitor, filter, driver, pager or submodule", async () => {
    await run(traps(sprung));
    // The traps do spring for who runs git there.
    await bed.sh("work", "HOME=/nonexistent git -c core.worktree= --work-tree=. status; HOME=/nonexistent git --work-tree=. diff");
    assert.ok(readdirSync(sprung).includes("fsmonitor"), "the traps are no traps");
    for (const name of readdirSync(sprung)) rmSync(join(sprung, name));

    const { paths, leftOut, text } = await bed.diff("work");
    assert.deepEqual(readdirSync(sprung), []);
    assert.deepEqual(
      paths.filter((path) => !path.startsWith(".hooks/")),
      [".gitattributes", ".gitmodules", "broken/file", "nested/n", "pointed/file", "tracked"],
    );
    assert.match(text, /\+one/);
    assert.deepEqual(
      leftOut.map(({ path }) => path),
      ["broken/.git", "nested/.git", "pointed/.git"],
    );
    await bed.facilities.withFacility("work" as Name, "run", (held) => held.remember(new AbortController().signal));
    assert.deepEqual((await bed.diff("work", "run")).paths, []);
    assert.deepEqual(readdirSync(sprung), []);
    await run("rm -rf .git .gitattributes .gitmodules .hooks nested broken pointed tracked");
  });

  it("links lead nowhere, and pipes, devices and files of no end are named and left", async () => {
    const secret = join(bed.directory, "secret");
    writeFileSync(secret, "the host's\n", { mode: 0o644 });
    await run(`ln -s ${secret} to-file; ln -s ${bed.directory} to-directory; ln -s .. up; ln -s / root; mkfifo pipe; truncate -s 900G sparse 2>/dev/null || truncate -s 30G sparse
      python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("socket")'; echo x >plain; ln -s loop loop`);
    const { text, paths, leftOut } = await bed.diff("work");
    assert.deepEqual(paths, ["loop", "plain", "root", "to-directory", "to-file", "up"]);
    assert.doesNotMatch(text, /the host's/);
    assert.match(text, /new file mode 120000/);
    assert.deepEqual(leftOut.map(({ path }) => path).toSorted(), ["pipe", "socket", "sparse"]);

    const found = await bed.artifacts("work", ["**"], { files: 10, bytes: 1e6 });
    assert.deepEqual(
      found.files.map(({ path }) => path),
      ["plain"],
    );
    const why = Object.fromEntries(found.leftOut.map((one) => [one.path, one.why]));
    assert.match(why["to-file"] ?? "", /link/);
    assert.match(why["to-directory"] ?? "", /link/);
    assert.match(why["pipe"] ?? "", /pipe/);
    assert.match(why["socket"] ?? "", /socket/);
    assert.match(why["sparse"] ?? "", /more than/);

    const files = await bed.facilities.files("work" as Name, "read");
    for (const path of ["/to-file", "/to-directory/secret", "/up/lost+found", `/root${secret}`])
      await assert.rejects(files.stat(path), { code: "not-found" }, path);
    await assert.rejects(files.read("/pipe", { offset: 0 }), { code: "unsupported" });
    const writing = await bed.facilities.files("work" as Name, "write");
    await assert.rejects(writing.write("/to-directory/new", { bytes: Buffer.from("x"), how: "replace", sync: false }));
    await assert.rejects(writing.write("/pipe", { bytes: Buffer.from("x"), how: "append", sync: false }), { code: "unsupported" });
    assert.equal(existsSync(join(bed.directory, "new")), false);
    await run("rm -f to-file to-directory up root pipe sparse socket plain loop");
  });

  it("what is written from outside belongs to the facility", async () => {
    const files = await bed.facilities.files("work" as Name, "write");
    await files.makeDirectory("/a/b", 0o755);
    await files.write("/a/b/file", { bytes: Buffer.from("hello"), how: "replace", sync: true });
    await run("echo more >>a/b/file && test $(stat -c %u a/b/file) = $(id -u) && test $(stat -c %u a) = $(id -u) && rm -r a");
  });

  it("a patch makes of what was what is: every kind of change, every kind of name, whatever is in the files", async () => {
    await bed.make("trip");
    const shell = async (line: string) => assert.equal((await bed.sh("trip", line)).code, 0, line);
    const names = ["plain", "-rf", "with space", "tab\there", "new\nline", 'quote"s', "back\\slash", "ü", "\x01control", "é/deep/er"];
    const files = await bed.facilities.files("trip" as Name, "write");
    for (const name of names) {
      if (name.includes("/")) await files.makeDirectory(`/${name.slice(0, name.lastIndexOf("/"))}`, 0o755);
      await files.write(`/${name}`, { bytes: Buffer.from(`first ${name}\nsecond\n`), how: "create", sync: false });
    }
    await shell(
      "echo gone >removed; ln -s plain link; echo f >becomes-directory; mkdir becomes-file; echo i >becomes-file/i; printf 'no end' >no-end; : >empty; head -c 3000 /dev/urandom >binary",
    );
    await bed.facilities.withFacility("trip" as Name, "run", (held) => held.remember(new AbortController().signal));
    const before = join(bed.directory, "before");
    cpSync(bed.workspace("trip"), before, { recursive: true, verbatimSymlinks: true });

    for (const name of names) await files.write(`/${name}`, { bytes: Buffer.from("third\n"), how: "append", sync: false });
    await shell(`rm removed; ln -sfn empty link; rm becomes-directory; mkdir becomes-directory; echo n >becomes-directory/n; rm -r becomes-file; echo f >becomes-file
      printf '\\0\\1\\2' >>binary; printf 'more' >>no-end; rm empty; chmod +x plain; printf '\\377\\376' >latin1; touch "$(printf 'bad\\377name')"; mkdir -p deep/er; echo new >deep/er/new; printf 'a\\r\\nb\\r\\n' >crlf`);
    const { patch, truncated, files: changed, leftOutCount } = await bed.diff("trip", "run");
    assert.deepEqual([truncated, leftOutCount], [false, 0]);
    assert.equal(changed.find(({ path }) => path === "binary")?.added, undefined);
    writeFileSync(join(bed.directory, "patch"), patch);
    execFileSync("git", ["apply", join(bed.directory, "patch")], {
      cwd: before,
      stdio: "pipe",
      env: { PATH: process.env["PATH"] ?? "", GIT_CEILING_DIRECTORIES: bed.directory },
    });
    execFileSync("diff", ["-r", "--no-dereference", before, bed.workspace("trip")]);
    assert.equal(execFileSync("stat", ["-c", "%A", join(before, "plain")], { encoding: "utf8" }).at(3), "x");
    await bed.remove("trip");
  });

  it("what a run began with is known as long as no other has begun, and then what that began with", async () => {
    const remember = () => bed.facilities.withFacility("work" as Name, "run", (held) => held.remember(new AbortController().signal));
    await run("echo first >story; echo other >aside");
    await remember();
    await run("echo second >story");
    assert.match((await bed.diff("work", "run")).text, /-first\n\+second/);
    await remember();
    assert.deepEqual((await bed.diff("work", "run")).paths, []);
    // Also what only an earlier run's memory held.
    await run("echo third >story; rm aside");
    assert.match((await bed.diff("work", "run")).text, /-other[^]*-second\n\+third/);
    assert.match((await bed.diff("work")).text, /\+third/);
    await run("rm story");
  });

  it("a patch that is too long ends with a whole file and says so; the list of files is whole", async () => {
    await run("for i in 1 2 3 4 5 6 7 8; do yes line$i | head -c 20000 >long$i; done");
    const { text, truncated, files } = await bed.diff("work", "create", 65_536);
    assert.deepEqual([truncated, files.length], [true, 8]);
    assert.equal(text.match(/^diff --git /gm)?.length, 2);
    assert.ok(text.endsWith("\n"));
    const nothing = await bed.diff("work", "create", 0);
    assert.deepEqual([nothing.text, nothing.truncated, nothing.files.length], ["", true, 8]);
    await run("rm long*");
  });

  it("names no system takes from git are left out, so that the rest can be applied", async () => {
    await run("mkdir .GIT 'git~1' '.git '; echo x >.GIT/config; echo x >'git~1/hooks'; echo x >'.git /x'; echo x >fine");
    assert.deepEqual((await bed.diff("work")).paths, ["fine"]);
    await run("rm -r .GIT 'git~1' '.git ' fine");
  });

  it("ten thousand files take seconds, and looking again at those that are as they were less", async () => {
    await run("mkdir many; i=0; while [ $i -lt 10000 ]; do echo $i >many/$i; i=$((i+1)); done");
    const { files } = await bed.diff("work");
    assert.equal(files.length, 10_000);
    await bed.facilities.withFacility("work" as Name, "run", (held) => held.remember(new AbortController().signal));
    await run("echo changed >many/77; rm many/78");
    assert.deepEqual((await bed.diff("work", "run")).files, [
      { path: "many/77", added: 1, removed: 1 },
      { path: "many/78", added: 0, removed: 1 },
    ]);
    const found = await bed.artifacts("work", ["many/1*"], { files: 100, bytes: 1e6 });
    assert.deepEqual([found.files.length, found.leftOut.length, found.leftOutCount], [100, 100, 1111 - 100]);
    await run("rm -r many");
  });

  it("directories as deep as can be are passed over and named", async () => {
    await run(`python3 -c 'import os
for _ in range(1500):
    os.mkdir("d"); os.chdir("d")
open("deep","w").write("x")'; echo x >shallow`);
    const { paths, leftOut } = await bed.diff("work");
    assert.deepEqual(paths, ["shallow"]);
    assert.match(leftOut[0]?.why ?? "", /200 directories deep/);
    assert.equal((await bed.artifacts("work", ["**/deep"])).files.length, 0);
    await run("rm -r d shallow");
  });

  it("changes under our eyes are no way out: what is read is what is there, or is left out", async () => {
    mkdirSync(join(bed.directory, "outside"), { mode: 0o755 });
    writeFileSync(join(bed.directory, "outside/f"), "the host's\n");
    const { uid } = await bed.facilities.inspect("work" as Name);
    const swap = `import os
os.makedirs("in", exist_ok=True); open("in/f","w").write("ours\\n"); os.symlink("${bed.directory}/outside","out")
while True:
    os.rename("in","tmp"); os.rename("out","in"); os.rename("in","out"); os.rename("tmp","in")
    try: os.unlink("x")
    except FileNotFoundError: pass
    os.mkfifo("x"); os.unlink("x"); open("x","w").write("plain\\n")`;
    const child = spawn("setpriv", [`--reuid=${uid}`, `--regid=${uid}`, "--clear-groups", "sh", "-c", `exec python3 -c "$1"`, "sh", swap], {
      cwd: bed.workspace("work"),
      stdio: "ignore",
    });
    try {
      for (let i = 0; i < 6; i++) {
        assert.doesNotMatch((await bed.diff("work")).text, /the host's/);
        for (const { path } of (await bed.artifacts("work", ["**"])).files) {
          const files = await bed.facilities.files("work" as Name, "read");
          const chunks: Uint8Array[] = [];
          const read = await files.read(`/${path}`, { offset: 0 }).catch(() => undefined);
          for await (const chunk of read?.chunks ?? []) chunks.push(chunk);
          assert.doesNotMatch(Buffer.concat(chunks).toString(), /the host's/);
        }
      }
      assert.equal(child.exitCode, null, "nothing was moved about");
    } finally {
      const gone = once(child, "close");
      child.kill("SIGKILL");
      await gone;
    }
  });
});
