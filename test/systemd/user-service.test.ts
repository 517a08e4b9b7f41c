import assert from "node:assert/strict";
import { cpSync } from "node:fs";
import { after, before, describe, it } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { testCache } from "../../scripts/test-mini.ts";
import { groupFile, installUnit, memoryBomb, requireSystemd, run } from "./bed.ts";

const home = "/home/nexus-test";

describe("an ordinary user's daemon as a service, on cgroup v2 alone", { timeout: 1_700_000 }, () => {
  let uid = "";
  const asUser = (words: string[], code = 0): string =>
    run(["runuser", "-u", "nexus-test", "--", "env", `HOME=${home}`, `XDG_RUNTIME_DIR=/run/user/${uid}`, ...words], code);
  const systemctl = (...words: string[]) => asUser(["systemctl", "--user", ...words]);
  const service = () => systemctl("show", "--property=ControlGroup", "--value", "nexusd");

  before(() => {
    requireSystemd();
    run(["useradd", "--create-home", "--home-dir", home, "nexus-test"]);
    uid = run(["id", "-u", "nexus-test"]);
    installUnit("nexusd-user.service", `${home}/.config/systemd/user/nexusd.service`);
    cpSync(testCache, `${home}/.cache/nexus`, { recursive: true });
    run(["chown", "-R", "nexus-test:", home]);
    run(["loginctl", "enable-linger", "nexus-test"]);
    run(["systemctl", "start", `user@${uid}.service`]);
    systemctl("daemon-reload");
    systemctl("start", "nexusd");
  });
  after(() => {
    asUser(["nexus", "vm", "rm", "box", "--force"]);
    systemctl("stop", "nexusd");
    run(["loginctl", "disable-linger", "nexus-test"]);
  });

  const boxPid = () => (JSON.parse(asUser(["nexus", "vm", "inspect", "box", "--json"])) as { pid: number }).pid;
  const limitsHold = () => {
    asUser(["nexus", "run", "--mem", "64", "--", "sh", "-c", memoryBomb], 137);
    assert.match(groupFile(service(), "cgroup.subtree_control"), /cpu.*memory.*pids/);
    assert.equal(groupFile(service(), "cgroup.procs"), "");
  };

  it("limits sandboxes by cgroups though a virtual machine was there first", () => {
    asUser(["nexus", "vm", "create", "box", "--mem", "96"]);
    limitsHold();
    assert.match(asUser(["nexus", "doctor"]), /can be limited below \S+nexusd\.service\/nexus-sandboxes/);
    limitsHold();
  });

  it("starts again beside the virtual machine, when it ended and when it was killed", async () => {
    const before = boxPid();
    systemctl("restart", "nexusd");
    assert.equal(boxPid(), before);
    limitsHold();
    systemctl("kill", "--kill-whom=main", "--signal=KILL", "nexusd");
    const state = () => systemctl("show", "--property=NRestarts,ActiveState", "nexusd").split("\n").toSorted();
    for (let left = 300; left > 0 && state().join() !== "ActiveState=active,NRestarts=1"; left--) await delay(1000);
    assert.deepEqual(state(), ["ActiveState=active", "NRestarts=1"]);
    assert.equal(boxPid(), before);
    limitsHold();
  });
});
