import assert from "node:assert/strict";
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import type { GuestView } from "../../src/spec/views.ts";
import type { VmSpecInput } from "../../src/spec/vm.ts";
import * as host from "../chaos/host.ts";
import { ProjectBed } from "../e2e/compose-bed.ts";
import { until } from "../kernel/world/until.ts";
import { MachineBed, qemusIn } from "./machine-bed.ts";

describe("directories of the host in a mini virtual machine", { timeout: 300_000 }, () => {
  let bed: MachineBed;
  const here = mkdtempSync("/var/tmp/nexus-shares-");
  const at = (...names: string[]) => join(here, ...names);
  before(async () => {
    mkdirSync(at("rw"));
    mkdirSync(at("ro"));
    writeFileSync(at("ro", "word"), "host\n");
    bed = await MachineBed.make();
    await bed.create({ ...machine, name: "web" });
  });
  after(async () => {
    await bed[Symbol.asyncDispose]();
    rmSync(here, { recursive: true, force: true });
  });

  const machine: Omit<VmSpecInput, "name"> = {
    shares: [
      { name: "rw", source: at("rw") },
      { name: "ro", source: at("ro"), readOnly: true },
    ],
    setup: {
      mounts: [
        { from: { share: "rw" }, target: "/data dir" },
        // The guest would write: the host does not let it.
        { from: { share: "ro" }, target: "/ro" },
      ],
    },
  };
  const setUp = (name: string): Promise<GuestView> =>
    bed.vmIs(name, "is set up", ({ setup }) => setup !== undefined && setup.state !== "pending", 90_000);
  const carriers = () =>
    [...host.processesWith(join(bed.daemon.places.stateDir, "guests")).values()].filter((line) => /virtiofsd/.test(line));
  /** In the guest, whose words it gives. */
  const inside = async (name: string, line: string) => {
    const { out, err } = await bed.shell(name, line);
    return `${out}${err}`;
  };

  it("are read and written from both sides, at once", async () => {
    assert.deepEqual((await setUp("web")).setup, { state: "done" });
    assert.equal(await inside("web", "cat /ro/word; grep -c virtiofs /proc/mounts"), "host\n2\n");
    writeFileSync(at("rw", "from-host"), "hello\n");
    assert.equal(await inside("web", "cat '/data dir/from-host'; echo guest >'/data dir/from-guest'; mkdir '/data dir/deep'"), "hello\n");
    assert.equal(readFileSync(at("rw", "from-guest"), "utf8"), "guest\n");
    await inside("web", "dd if=/dev/urandom of='/data dir/big' bs=1M count=8 2>/dev/null; sync");
    assert.equal(statSync(at("rw", "big")).size, 8 << 20);
  });

  it("are read-only by the host's word where that was asked, also for a guest that mounts them anew", async () => {
    assert.match(
      await inside("web", "mount -o remount,rw /ro; echo x >/ro/word; touch /ro/new; chmod 777 /ro"),
      /(.*Read-only file system\n){3}/,
    );
    assert.deepEqual([readFileSync(at("ro", "word"), "utf8"), existsSync(at("ro", "new"))], ["host\n", false]);
  });

  it("let no guest out of them, nor leave devices", async () => {
    writeFileSync(at("secret"), "of the host\n");
    symlinkSync("../secret", at("rw", "out"));
    symlinkSync(at("secret"), at("rw", "absolute"));
    const said = await inside("web", "cd '/data dir'; cat out absolute ../../secret; mknod disk b 8 0; cp /bin/busybox su; chmod 4755 su");
    assert.doesNotMatch(said, /of the host/);
    assert.match(said, /mknod: disk: Operation not permitted/);
    assert.equal(lstatSync(at("rw", "disk"), { throwIfNoEntry: false }), undefined);
    // As docs/security.md says: what the guest's root leaves is root's, with its set-user-id bit.
    const left = statSync(at("rw", "su"));
    assert.deepEqual([left.uid, (left.mode & 0o7777).toString(8)], [0, "4755"]);
  });

  it("go on while the daemon is killed and comes again, and when the guest boots again", async () => {
    const before = [(await bed.vm("web")).pid, carriers()];
    assert.equal(carriers().length, 4, "two processes for each");
    await bed.daemon.end("SIGKILL");
    writeFileSync(at("rw", "from-host"), "while it was down\n");
    await bed.daemon.start();
    assert.equal(await inside("web", "cat '/data dir/from-host'; echo after >'/data dir/from-guest'"), "while it was down\n");
    assert.equal(readFileSync(at("rw", "from-guest"), "utf8"), "after\n");
    assert.deepEqual([(await bed.vm("web")).pid, carriers()], before);
    await bed.allIsWell();
    await inside("web", "(sleep 1; reboot -f) >/dev/null 2>&1 &");
    await until(
      "it boots again",
      async () => (await inside("web", "cut -d. -f1 /proc/uptime; cat '/data dir/from-guest'")).includes("after"),
      60_000,
    );
    await bed.must("vm", "restart", "web");
    assert.deepEqual((await setUp("web")).setup, { state: "done" });
    assert.equal(await inside("web", "cat '/data dir/from-guest'"), "after\n");
    assert.equal(carriers().length, 4);
  });

  it("end with their machine, however it ends", async () => {
    const noneLeft = () => until("no virtiofsd is left", () => carriers().length === 0, 5000);
    process.kill((await bed.vm("web")).pid ?? 0, "SIGKILL");
    await noneLeft();
    await bed.must("vm", "start", "web");
    assert.equal(carriers().length, 4);
    await bed.must("vm", "stop", "web", "--grace", "0");
    await noneLeft();
    await bed.must("vm", "start", "web");
    await bed.daemon.end("SIGKILL");
    for (const pid of qemusIn(join(bed.daemon.places.stateDir, "guests"))) process.kill(pid, "SIGKILL");
    await noneLeft();
    await bed.daemon.start();
    await bed.vmIs("web", "is known to have ended", (vm) => vm.state !== "running");
    await bed.must("vm", "rm", "web", "--force");
    assert.deepEqual(carriers(), []);
    await bed.allIsWell();
  });

  it("that are not there, or are none, are told before anything starts", async () => {
    const refuses = (source: string, words: RegExp) => assert.rejects(bed.create({ name: "x", shares: [{ name: "x", source }] }), words);
    await refuses(at("gone"), /share x: there is no directory \/var\/tmp\/.*\/gone on this host/);
    await refuses(at("ro", "word"), /share x: .*\/word is no directory/);
    await bed.nexus("vm", "rm", "x", "--force");
    await bed.allIsWell();
  });

  it("come from a compose file", async () => {
    using project = new ProjectBed(bed, "site");
    mkdirSync(join(project.directory, "www"));
    writeFileSync(join(project.directory, "www/index.html"), "<h1>hi</h1>\n");
    chmodSync(join(project.directory, "www"), 0o755);
    project.write("nexus-compose.yaml", 'name: site\nvms:\n  web:\n    memory: 128\n    volumes: ["./www:/srv/www:ro"]\n');
    const { code, err } = await project.run("up", "--wait");
    assert.equal(code, 0, err);
    assert.equal((await project.run("exec", "web", "cat", "/srv/www/index.html")).out, "<h1>hi</h1>\n");
    assert.match((await project.run("up")).out, /site is as its file says/);
    await project.run("down");
    assert.deepEqual(carriers(), []);
    await bed.allIsWell();
  });
});
