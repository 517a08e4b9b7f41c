import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { after, describe, it } from "node:test";
import { fakeDaemon } from "../api/fake-daemon.ts";
import { nexus } from "./command-line.ts";

const directory = mkdtempSync(join(tmpdir(), "nexus-plan-"));
after(() => rmSync(directory, { recursive: true, force: true }));

describe("nexus plan FILE", () => {
  it("names every fault with the file as it was typed, line and column, and asks no daemon", async () => {
    const file = join(directory, "bad.yaml");
    writeFileSync(file, "networks:\n  - name: lan\n    subnet: [auto]\nnodes:\n  - name: web\n    mem: lots\n");
    const typed = relative(process.cwd(), file);
    const ran = await nexus("/nonexistent", ["plan", typed]);
    assert.deepEqual([ran.code, ran.stdout], [2, ""]);
    const [first = "", second = ""] = ran.stderr.split("\n").map((line) => line.trim());
    assert.match(first, /bad\.yaml:3:5: networks\[0\]\.subnet: unknown key \(did you mean subnets\?\)/);
    assert.ok(first.startsWith(`nexus: ${typed}:3:5`), first);
    assert.match(second, /bad\.yaml:6:10: nodes\[0\]\.mem: must be/);
  });

  it("says so when there is no such file, or nothing would change", async () => {
    await using daemon = await fakeDaemon({ "plan.preview": async () => ({ steps: [] }) });
    assert.deepEqual(await nexus(daemon.socketPath, ["plan", "/nonexistent.yaml"]), {
      code: 4,
      stdout: "",
      stderr: "nexus: there is no file /nonexistent.yaml\n",
    });
    assert.equal((await nexus(daemon.socketPath, ["plan", directory])).code, 2);
    const ran = await nexus(daemon.socketPath, ["plan", "-"], "networks: [{name: lan}]");
    assert.deepEqual(ran, { code: 0, stdout: "nothing would change\n", stderr: "" });
  });

  it("means a directory from where the file is", async () => {
    let image: string | undefined;
    await using daemon = await fakeDaemon({
      "plan.preview": async ({ body }) => ((image = body.nodes[0]?.image), { steps: ["ip link add nx1"] }),
    });
    mkdirSync(join(directory, "root"));
    writeFileSync(join(directory, "good.yaml"), "nodes:\n  - name: web\n    image: ./root\n");
    assert.equal((await nexus(daemon.socketPath, ["plan", join(directory, "good.yaml")])).stdout, "ip link add nx1\n");
    assert.equal(image, join(directory, "root"));
  });
});
