import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { FacilityView } from "../../src/spec/views.ts";
import { until } from "../kernel/world/until.ts";
import { Bed } from "./recovery-bed.ts";
import { alice, homeOf, superuser, UserBed } from "./user-bed.ts";

describe("facilities, as typed", { timeout: 300_000 }, () => {
  let bed: Bed;
  const here = mkdtempSync(join(tmpdir(), "nexus-facility-e2e-"));
  before(async () => {
    bed = await Bed.make();
    execFileSync("sh", [
      "-e",
      "-c",
      `chmod 755 ${here} && mkdir ${here}/project && cd ${here}/project && git init -q -b main . && echo one >file && git add . && git -c user.name=x -c user.email=x@x commit -qm one`,
    ]);
  });
  after(async () => {
    await bed[Symbol.asyncDispose]();
    rmSync(here, { recursive: true, force: true });
  });
  const done = async (...args: string[]): Promise<string> => {
    const { code, out, err } = await bed.nexus(...args);
    assert.equal(code, 0, `nexus ${args.join(" ")}: ${err}`);
    return out;
  };
  const view = async (): Promise<FacilityView> => JSON.parse(await done("facility", "inspect", "work", "--json")) as FacilityView;

  test("one is made of a repository, changed, looked at, and its files are had", async () => {
    await done("facility", "create", "work", "--clone", `file://${here}/project`, "--size", "32M", "--label", "for=tests");
    assert.equal((await bed.refusal("facility", "create", "work")).error.code, "name-taken");
    await done("mcp", "facility_write", "--facility", "work", "--path", "new/file.txt", "--content", "hello\n");
    assert.equal(await done("mcp", "facility_read", "--facility", "work", "--path", "file"), "one\n");
    assert.equal(await done("facility", "diff", "work", "--stat"), "+1  -0  new/file.txt\n");
    await done("facility", "diff", "work", "-o", join(here, "patch"));
    execFileSync("git", ["apply", join(here, "patch")], { cwd: join(here, "project") });
    assert.equal(readFileSync(join(here, "project/new/file.txt"), "utf8"), "hello\n");
    assert.equal(await done("facility", "artifacts", "work", "new", "--to", join(here, "out")), "new/file.txt\n");
    assert.equal(readFileSync(join(here, "out/new/file.txt"), "utf8"), "hello\n");
    const { labels, lock, clone } = await view();
    assert.deepEqual([labels, lock, clone], [{ for: "tests" }, undefined, { url: `file://${here}/project` }]);
    assert.equal((await bed.refusal("facility", "unlock", "work", "--force")).error.code, "wrong-state");
    assert.equal((await bed.refusal("facility", "diff", "gone")).exit, 4);
  });

  test("they are there after a daemon that was killed, and one half made is not", async () => {
    const { path } = await view();
    writeFileSync(join(path, "kept"), "kept\n");
    await bed.daemon.end("SIGKILL");
    await bed.daemon.start();
    assert.equal(readFileSync(join((await view()).path, "kept"), "utf8"), "kept\n");

    // A fifo serves no clone, ever: the daemon is killed while it waits.
    execFileSync("sh", [
      "-e",
      "-c",
      `mkdir ${here}/stuck.git && cp -r ${here}/project/.git/. ${here}/stuck.git && rm ${here}/stuck.git/HEAD && mkfifo -m 666 ${here}/stuck.git/HEAD`,
    ]);
    const stuck = bed.nexus("facility", "create", "half", "--clone", `file://${here}/stuck.git`, "--size", "32M");
    const listed = async () => JSON.parse(await done("facility", "ls", "--json")) as FacilityView[];
    await until("it is being made", async () => (await listed()).some(({ name, state }) => name === "half" && state === "making"));
    await bed.daemon.end("SIGKILL");
    assert.notEqual((await stuck).code, 0);
    // Git ends with the daemon, though it waits; only facilities have such users.
    const users = () => execFileSync("ps", ["-eo", "uid="], { encoding: "utf8" }).split("\n").map(Number);
    await until("nothing of the clone runs", () => !users().some((uid) => uid > 0x78000000 && uid <= 0x78000000 + 65_535));
    await bed.daemon.start();
    assert.deepEqual(
      (await listed()).map(({ name }) => name),
      ["work"],
    );
    assert.equal(existsSync(join(bed.daemon.places.stateDir, "facilities/half")), false);
  });

  test("after its end nothing is mounted, and removed they leave nothing", async () => {
    const mounts = () =>
      readFileSync("/proc/self/mountinfo", "utf8")
        .split("\n")
        .filter((line) => line.includes("/run/facilities/"));
    assert.equal(mounts().length, 1);
    await bed.daemon.end("SIGTERM");
    assert.deepEqual(mounts(), []);
    await bed.daemon.start();
    await done("facility", "rm", "work");
    assert.deepEqual(mounts(), []);
    assert.equal(existsSync(join(bed.daemon.places.stateDir, "facilities/work")), false);
    await bed.allIsWell();
  });
});

test("an ordinary user has facilities of their own, of their own files", { timeout: 240_000 }, async () => {
  await using bed = await UserBed.make();
  const project = `${homeOf(alice)}/project`;
  const repository = `mkdir ${project} && cd ${project} && git init -q -b main . && echo one >file && git add . && git -c user.name=x -c user.email=x@x commit -qm one`;
  assert.equal(bed.run(alice, ["sh", "-e", "-c", repository]).code, 0);
  const made = bed.nexus(alice, `facility create work --clone file://${project} --size 32M`);
  assert.equal(made.code, 0, made.stderr);
  const view = bed.asked<FacilityView>(alice, "facility inspect work");
  assert.deepEqual([view.limit, view.uid, view.path], ["watch", alice.uid, `${homeOf(alice)}/.local/state/nexus/facilities/work/work`]);
  assert.equal(bed.nexus(alice, "mcp facility_write --facility work --path a/b --content hello").code, 0);
  assert.equal(bed.nexus(alice, "facility diff work --stat").stdout, "+1  -0  a/b\n");
  assert.equal(bed.nexus(alice, `facility artifacts work a --to ${homeOf(alice)}/out`).stdout, "a/b\n");
  const open = bed.run(superuser, ["find", `${homeOf(alice)}/.local/state/nexus/facilities`, "-maxdepth", "2", "-perm", "/077"]);
  assert.deepEqual([open.stdout, open.stderr], ["", ""], "nothing there is anybody else's to enter");
  assert.equal(bed.nexus(alice, "facility rm work").code, 0);
  assert.equal(bed.run(superuser, ["ls", `${homeOf(alice)}/.local/state/nexus/facilities`]).stdout, "");
});
