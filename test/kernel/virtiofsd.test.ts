import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { carry, endVirtiofsds, findVirtiofsd, type Virtiofsd } from "../../src/guests/virtiofsd.ts";
import { openWaitingConnection } from "../../src/kernel/unix-socket.ts";
import { mountPoints, processesWith } from "../chaos/host.ts";
import { until } from "./world/until.ts";

describe("virtiofsd", { timeout: 60_000 }, () => {
  let directory: string;
  let found: Virtiofsd & { kind: "usable" };
  const at = (name: string) => join(directory, name);
  before(async () => {
    directory = mkdtempSync("/var/tmp/nexus-virtiofsd-");
    mkdirSync(at("source/below"), { recursive: true });
    execFileSync("mount", ["-t", "tmpfs", "below", at("source/below")]);
    const is = await findVirtiofsd(directory);
    assert.ok(is.kind === "usable", JSON.stringify(is));
    found = is;
  });
  after(() => {
    execFileSync("umount", ["--lazy", at("source/below")]);
    rmSync(directory, { recursive: true, force: true });
  });
  const running = () => [...processesWith(at("places")).keys()];
  const serve = (readOnly: boolean) => {
    using open = new DisposableStack();
    const said = openSync(at("said"), "w");
    open.defer(() => closeSync(said));
    const { listener, client } = openWaitingConnection(directory);
    open.use(listener);
    open.use(client);
    const child = carry(found, { source: at("link"), place: at("places/one"), readOnly }, { listener, said });
    child.unref();
    open.move();
    listener[Symbol.dispose]();
    closeSync(said);
    return { client, child, [Symbol.dispose]: () => client[Symbol.dispose]() };
  };

  it("is tried, and tells why it cannot be used", async () => {
    assert.deepEqual(readdirSync(directory), ["source"], "the trial left nothing");
    const program = (name: string, text: string) => {
      writeFileSync(at(name), `#!/bin/sh\n${text}\n`);
      chmodSync(at(name), 0o755);
      return at(name);
    };
    const broken = await findVirtiofsd(directory, program("broken", 'case "$1" in --help) ;; *) echo no such luck >&2; exit 1 ;; esac'));
    assert.match(broken.kind === "unusable" ? broken.why : "", /broken does not work here: no such luck$/);
    const none = await findVirtiofsd(directory, at("gone"));
    assert.match(none.kind === "unusable" ? none.why : "", /gone does not work here/);
    const script = `import { findVirtiofsd } from ${JSON.stringify(join(import.meta.dirname, "../../src/guests/virtiofsd.ts"))};
      process.setuid(65534);
      console.log((await findVirtiofsd("/nowhere")).why);`;
    const said = execFileSync(process.execPath, ["--input-type=module", "-e", script], { encoding: "utf8" });
    assert.equal(said, "virtiofsd needs root, which a user's own daemon is not\n");
  });

  it("sees the directory alone, with what is mounted in it, and read-only is the kernel's word for all of it", async () => {
    symlinkSync(at("source"), at("link"));
    using served = serve(true);
    await until("it has shut itself in", () => running().some(isShutIn));
    const inner = running().find(isShutIn) ?? assert.fail();
    assert.deepEqual(rootsOf(inner), ["/ ro,nosuid,nodev", "/below ro,nosuid,nodev"]);
    execFileSync("mount", ["-t", "tmpfs", "later", at("source/below")]);
    assert.equal(rootsOf(inner).length, 2, "what is mounted on the host later stays there");
    execFileSync("umount", [at("source/below")]);
    assert.equal(
      mountPoints().some((point) => point.startsWith(at("places"))),
      false,
      "nobody else sees its mounts",
    );
    // chown, dac_override, fowner, fsetid, setgid, setuid
    assert.match(statusOf(inner), /^CapPrm:\t00000000000000db$/m);
    served.client[Symbol.dispose]();
    await until("it ends well with its connection", () => running().length === 0 && served.child.exitCode === 0);
  });

  it("that outlives its connection is ended by its place", async () => {
    using served = serve(false);
    await until("it runs", () => running().some(isShutIn));
    await endVirtiofsds(at("elsewhere"));
    for (const pid of running()) process.kill(pid, "SIGSTOP");
    served.client[Symbol.dispose]();
    assert.equal(running().length, 2);
    await endVirtiofsds(at("places"));
    assert.deepEqual(running(), []);
    await until("its end is seen", () => served.child.signalCode === "SIGKILL");
  });

  it("gets no directory that is none any more", () => {
    rmSync(at("link"));
    assert.throws(() => serve(false), /ENOENT/);
    assert.deepEqual(running(), []);
  });
});

function statusOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/status`, "utf8");
  } catch {
    return "";
  }
}

/** The second of its two processes, the first of its own, once its filter is on: that is the last it does. */
function isShutIn(pid: number): boolean {
  return /^NSpid:.*\t1$/m.test(statusOf(pid)) && /^Seccomp:\t2$/m.test(statusOf(pid));
}

/** What is mounted where a process is, and how, once its root is the directory. */
function rootsOf(pid: number): string[] {
  try {
    const lines = readFileSync(`/proc/${pid}/mountinfo`, "utf8").trim().split("\n");
    return lines.map((line) => line.split(" ")).map((words) => `${words[4]} ${words[5]?.replace(/,relatime$/, "")}`);
  } catch {
    return [];
  }
}
