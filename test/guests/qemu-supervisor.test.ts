import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { type QemuLayout, qemuLayout } from "../../src/guests/qemu-layout.ts";
import { qemuSupervisor } from "../../src/guests/qemu-process.ts";
import { type ConsoleLogLimits, readQemuExit, superviseQemu } from "../../src/guests/qemu-supervisor.ts";
import { until } from "../kernel/world/until.ts";

/** A shell script in QEMU's place. `prepare` changes what it finds. */
function supervised(t: TestContext, script: string, log: ConsoleLogLimits, prepare: (layout: QemuLayout) => void = () => {}) {
  const layout = qemuLayout(mkdtempSync(join(tmpdir(), "nexus-vm-supervisor-")));
  t.after(() => rmSync(layout.directory, { recursive: true, force: true }));
  prepare(layout);
  superviseQemu(layout, ["/bin/sh", "-c", script], { fds: [], log });
  return layout;
}

/** Processes that work in a directory. */
function inhabitants(directory: string): string[] {
  return readdirSync("/proc").filter((pid) => {
    try {
      return /^\d+$/.test(pid) && readlinkSync(`/proc/${pid}/cwd`).startsWith(directory);
    } catch {
      return false;
    }
  });
}

test("a console's log is put aside when full, with nobody there to look after it, and QEMU's own words have an end too", async (t) => {
  const line = "x".repeat(1023);
  const script = `exec 5>>log; n=0; while [ ! -e enough ]; do n=$((n+1)); echo "$n ${line}" >&5; echo ${line}; [ $((n % 20)) -gt 0 ] || sleep 0.01; done; exit 7`;
  const log = { maxBytes: 65_536, keep: 2, lookSeconds: 0.05 };
  const layout = supervised(t, script, log);
  const parts = () => readdirSync(layout.directory).filter((name) => name.startsWith("log"));
  await until("the oldest part is full", () => existsSync(`${layout.log}.2`) && statSync(`${layout.log}.2`).size >= log.maxBytes);
  const seen = readFileSync(`${layout.log}.2`, "utf8");
  await until("it goes", () => readFileSync(`${layout.log}.2`, "utf8") !== seen);
  writeFileSync(join(layout.directory, "enough"), "");
  await until("it has ended", () => readQemuExit(layout) !== undefined);
  assert.equal(readQemuExit(layout)?.code, 7);
  assert.deepEqual(
    parts().filter((name) => !["log", "log.1", "log.2"].includes(name)),
    [],
  );
  const first = Number(readFileSync(`${layout.log}.1`, "utf8").split(" ", 1)[0]);
  assert.ok(first > 100, `${first}: the parts go on where the one before ended`);
});

test("nobody of it is left when QEMU has ended, and its status is there at once", async (t) => {
  const layout = supervised(t, "exit 3", { maxBytes: 65_536, keep: 2, lookSeconds: 1000 });
  await until("it has ended", () => readQemuExit(layout) !== undefined);
  assert.equal(readQemuExit(layout)?.code, 3);
  await until("all are gone", () => qemuSupervisor(layout) === undefined && inhabitants(layout.directory).length === 0);
});

test("a QEMU whose number cannot be written down is ended: nobody would find it", async (t) => {
  const limits = { maxBytes: 65_536, keep: 2, lookSeconds: 1000 };
  const layout = supervised(t, "exec sleep 1000", limits, ({ pidFile }) => mkdirSync(pidFile));
  await until("it has ended", () => readQemuExit(layout) !== undefined);
  assert.equal(readQemuExit(layout)?.code, 137);
  await until("all are gone", () => inhabitants(layout.directory).length === 0);
});

test("what looks after the log ends with QEMU although the supervisor was killed, and not before", async (t) => {
  const script = 'echo "$$" >qemu.pid; exec 5>>log; while [ ! -e enough ]; do echo more >&5; sleep 0.01; done';
  const layout = supervised(t, script, { maxBytes: 100, keep: 2, lookSeconds: 0.05 });
  await until("it runs", () => existsSync(layout.pidFile) && qemuSupervisor(layout) !== undefined);
  process.kill(qemuSupervisor(layout) ?? assert.fail(), "SIGKILL");
  await until("the supervisor is gone", () => qemuSupervisor(layout) === undefined);
  rmSync(`${layout.log}.1`, { force: true });
  await until("the log is put aside still", () => existsSync(`${layout.log}.1`));
  writeFileSync(join(layout.directory, "enough"), "");
  await until("all are gone", () => inhabitants(layout.directory).length === 0);
});
