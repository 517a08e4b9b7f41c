import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import { readExample } from "../../src/cli/quickstart/example.ts";
import { limitsOfProcess, weightForShares } from "../../src/cli/quickstart/limits.ts";
import { Disproof, eventually } from "../../src/cli/quickstart/patience.ts";
import { makeReport } from "../../src/cli/quickstart/report.ts";
import { NexusError } from "../../src/base/errors.ts";

test("the example is what the checks are about", () => {
  const example = readExample();
  assert.deepEqual(
    example.networks.map((network) => [network.name, network.isolation, network.peers]),
    [
      ["front", "none", []],
      ["back", "guests", ["front"]],
    ],
  );
  assert.deepEqual(
    example.nodes.map((node) => [node.name, node.mem, node.cpu, node.pids]),
    [
      ["web", undefined, undefined, undefined],
      ["db", 64, 256, 64],
      ["cache", 64, 256, 64],
    ],
  );
});

test("an example changed for the worse is refused with the place of every fault", () => {
  const place = mkdtempSync(join(tmpdir(), "quickstart-proof-"));
  try {
    const file = join(place, "quickstart.yaml");
    writeFileSync(file, "networks:\n  - name: front\n    isolated: true\nnodes:\n  - name: web\n    mem: much\n");
    assert.throws(() => readExample(file), /quickstart\.yaml:3:5: .*isolated[\s\S]*quickstart\.yaml:6:10: /);
    writeFileSync(file, "networks:\n  - name: front\n");
    assert.throws(() => readExample(file), /lacks back, web, db, cache/);
  } finally {
    rmSync(place, { recursive: true, force: true });
  }
});

test("limits are read from the guest's own group, v1 and v2", () => {
  const place = mkdtempSync(join(tmpdir(), "quickstart-proof-"));
  const put = (tree: string, files: Record<string, string>) => {
    mkdirSync(join(place, tree, "nexus/db-1/guest"), { recursive: true });
    for (const [name, value] of Object.entries(files)) writeFileSync(join(place, tree, "nexus/db-1", name), `${value}\n`);
    return join(place, tree);
  };
  try {
    const v1 = [
      { target: put("memory", { "memory.limit_in_bytes": "67108864" }), type: "cgroup", options: ["rw", "memory"] },
      { target: put("cpu", { "cpu.shares": "256" }), type: "cgroup", options: ["rw", "cpu", "cpuacct"] },
      { target: put("pids", { "pids.max": "64" }), type: "cgroup", options: ["rw", "pids"] },
      { target: put("unified", {}), type: "cgroup2", options: ["rw"] },
    ];
    const hybrid = "5:pids:/nexus/db-1/guest\n4:cpu,cpuacct:/nexus/db-1/guest\n3:memory:/nexus/db-1/guest\n0::/nexus/db-1/guest\n";
    assert.deepEqual(limitsOfProcess(1, v1, hybrid), { memoryBytes: 67108864, cpu: { version: 1, value: 256 }, pids: 64 });

    const v2 = [
      { target: put("only", { "memory.max": "67108864", "cpu.weight": "35", "pids.max": "max" }), type: "cgroup2", options: ["rw"] },
    ];
    assert.deepEqual(limitsOfProcess(1, v2, "0::/nexus/db-1/guest\n"), {
      memoryBytes: 67108864,
      cpu: { version: 2, value: 35 },
      pids: NaN,
    });
    assert.throws(() => limitsOfProcess(1, v2, "0::/user.slice\n"), /which is no guest's group/);
    assert.throws(() => limitsOfProcess(1, [], "0::/nexus/db-1\n"), /no memory controller/);
  } finally {
    rmSync(place, { recursive: true, force: true });
  }
});

test("shares map to weights through the ends and the default of both scales", () => {
  assert.deepEqual([2, 256, 1024, 262144].map(weightForShares), [1, 35, 100, 10000]);
});

test("a check is a line when it ends, with what was seen or why it does not hold", async () => {
  const { report, stdout } = bench();
  assert.equal(await report.check("peer", async () => "web reaches db"), true);
  assert.equal(
    await report.check("nat", () => Promise.reject(new NexusError("port-taken", "it is taken", { hint: "take another" }))),
    false,
  );
  assert.match(stdout(), /^✓ {2}peer +\d+ ms {2}web reaches db\n✗ {2}nat +\d+ ms {2}it is taken\n +take another\n$/);
  assert.deepEqual(
    report.results.map(({ name, ok, detail }) => [name, ok, detail]),
    [
      ["peer", true, "web reaches db"],
      ["nat", false, "it is taken\ntake another"],
    ],
  );
});

test("with --json no line is printed before the document", async () => {
  const { report, stdout } = bench({ json: true });
  await report.check("peer", async () => "web reaches db");
  assert.equal(stdout(), "");
});

test("a check that does not end is given up at its deadline, and at once when the user interrupts", async () => {
  const { report, controller } = bench();
  assert.equal(await report.check("slow", () => new Promise(() => {}), 20), false);
  const waiting = report.check("slow", () => new Promise(() => {}));
  controller.abort();
  assert.equal(await waiting, false);
  assert.deepEqual(
    report.results.map((result) => result.detail),
    ["slow took longer than 0.02 s", "interrupted"],
  );
});

test("what was given up is still awaited, since it may be putting something back", async () => {
  const { report, controller } = bench();
  const work = Promise.withResolvers<string>();
  let settled = false;
  const check = report.check("slow", () => work.promise.finally(() => (settled = true)));
  controller.abort();
  await check;
  const idle = report.idle();
  work.resolve("put back");
  await idle;
  assert.equal(settled, true);
});

test("a claim is tried until it holds; another error is not a matter of patience", async () => {
  let tries = 0;
  assert.equal(await eventually(async () => (++tries < 3 ? Promise.reject(new Disproof("not yet")) : "now")), "now");
  await assert.rejects(
    eventually(() => Promise.reject(new Disproof("never")), 10),
    /never/,
  );
  await assert.rejects(
    eventually(() => (tries++, Promise.reject(new TypeError("a defect")))),
    TypeError,
  );
  assert.equal(tries, 4);
});

function bench({ json = false } = {}) {
  const [stdin, stdout, stderr] = [new PassThrough(), new PassThrough(), new PassThrough()];
  const controller = new AbortController();
  const out = { json, result() {}, item() {}, note() {} };
  const progress = { show() {}, [Symbol.dispose]() {} };
  const report = makeReport({ io: { stdin, stdout, stderr, env: {}, uid: 0 }, out }, { progress, signal: controller.signal });
  return {
    report,
    controller,
    stdout: () => {
      let text = "";
      for (let part; (part = stdout.read()) !== null;) text += String(part);
      return text;
    },
  };
}
