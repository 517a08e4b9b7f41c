import assert from "node:assert/strict";
import { existsSync, readdirSync } from "node:fs";
import { after, before, describe, it } from "node:test";
import { groupFile, installUnit, memoryBomb, requireSystemd, run } from "./bed.ts";

const unit = "/etc/systemd/system/nexusd.service";

describe("root's daemon as a service, on cgroup v2 alone", { timeout: 1_700_000 }, () => {
  before(() => {
    requireSystemd();
    installUnit("nexusd.service", unit);
    run(["systemctl", "daemon-reload"]);
    run(["systemctl", "start", "nexusd"]);
  });
  after(() => {
    run(["nexus", "network", "reset", "--force"]);
    run(["systemctl", "stop", "nexusd"]);
    assert.equal(existsSync("/sys/fs/cgroup/nexus"), false);
    // The empty groups above those of runs stay.
    assert.match(groupFile("nexus-runs", "cgroup.events"), /^populated 0$/m);
    assert.deepEqual(
      readdirSync("/sys/fs/cgroup/nexus-runs", { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isDirectory())
        .map(({ name }) => name),
      ["bubblewrap"],
    );
  });

  const inspect = () => JSON.parse(run(["nexus", "node", "inspect", "web", "--json"])) as { pid: number; state: string };

  it("finds everything in order", () => {
    assert.match(run(["nexus", "doctor"]), /cgroups v2; memory, cpu and pids limits available[^]*No check failed/);
  });

  it("limits a node, which survives a new start of the service with limits and all", () => {
    const limits = "--mem 64 --cpu 512 --cpus 0.5 --pids 20".split(" ");
    run(["nexus", "node", "create", "web", ...limits, "--publish", "8081:80", "--", ..."httpd -f -p 80 -h /etc".split(" ")]);
    const before = inspect();
    const group = `nexus/${readdirSync("/sys/fs/cgroup/nexus").find((name) => name.startsWith("web-")) ?? "none"}`;
    const kept = () => ["memory.max", "memory.swap.max", "cpu.weight", "cpu.max", "pids.max"].map((name) => groupFile(group, name));
    assert.deepEqual(kept(), ["67108864", "0", "59", "50000 100000", "20"]);
    run(["systemctl", "daemon-reload"]);
    run(["systemctl", "restart", "nexusd"]);
    assert.deepEqual(inspect().pid, before.pid);
    assert.deepEqual(kept(), ["67108864", "0", "59", "50000 100000", "20"]);
    assert.equal(groupFile(`${group}/guest`, "cgroup.procs"), String(before.pid));
    assert.equal(run(["nexus", "node", "exec", "web", "--", "wget", "-qO-", "http://web.default.nexus/hostname"]), "web");
  });

  for (const words of ["untrusted", "trusted", "trusted --driver podman", "host"].map((text) => text.split(" ")))
    it(`kills a command that takes more memory than it was given: ${words.join(" ")}`, () => {
      assert.equal(run(["nexus", "run", "--profile", ...words, "--", "echo", "well"]), "well");
      run(["nexus", "run", "--profile", ...words, "--mem", "64", "--", "sh", "-c", memoryBomb], 137);
    });
});
