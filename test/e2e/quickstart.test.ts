import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { type Bed, groupsOf, makeBed, noBed, root, traces } from "./quickstart-bed.ts";

type Outcome = { ok: boolean; checks: { name: string; ok: boolean; ms: number; detail: string }[] };

const skip = noBed() ?? false;
const expected = [
  "packages",
  "daemon",
  "networks",
  "nodes",
  "vms",
  "ping-host-web",
  "ping-web-gateway",
  "dns-short",
  "dns-full",
  "dns-aaaa",
  "peer",
  "isolation-guests",
  "isolation-networks",
  "nat",
  "published-outside",
  "published-host",
  "outside-direct",
  "vm-boots",
  "vm-ping",
  "vm-name",
  "vm-file-read",
  "run-one-name",
  "limits",
  "spec-second-apply",
];

test("on a bare machine it sets up, proves everything, does so again, and leaves no trace", { skip, timeout: 180_000 }, async () => {
  await using bed = await makeBed();
  const before = traces(bed);

  const first = outcome(bed.run(["./nexus", "quickstart", "--yes", "--json"]));
  assert.deepEqual(failures(first), []);
  assert.deepEqual(
    first.checks.map((check) => check.name),
    expected,
  );
  assert.equal(first.ok, true);
  assert.deepEqual(Object.keys(first.checks[0] ?? {}), ["name", "ok", "ms", "detail"]);
  assert.equal(bed.run(["ip", "netns", "list"]).stdout.includes("outside"), false, "the machine outside is gone");

  const nodes = JSON.parse(bed.run(["./nexus", "node", "ls", "--json"]).stdout) as { name: string; pid: number }[];
  const groups = nodes.flatMap((node) => groupsOf(node.pid));
  assert.equal(groups.length, 3);

  const again = bed.run(["./nexus", "quickstart", "--yes"]);
  assert.equal(again.code, 0, again.stdout);
  assert.equal(again.stdout.split("\n").filter((line) => line.startsWith("✓")).length, expected.length);
  assert.match(again.stdout, /quickstart --down/);
  const same = JSON.parse(bed.run(["./nexus", "node", "ls", "--json"]).stdout) as { name: string; pid: number }[];
  assert.deepEqual(
    same.map((node) => node.pid),
    nodes.map((node) => node.pid),
    "the second run takes what is there",
  );

  const down = bed.run(["./nexus", "quickstart", "--down"]);
  assert.equal(down.code, 0, down.stderr);
  assert.match(down.stdout, /removed nodes web, db, cache\nremoved virtual machines box/);
  assert.deepEqual(traces(bed), before);
  const trees = readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .flatMap((line) => (/ - cgroup2? /.test(line) ? [line.split(" ")[4] ?? ""] : []));
  assert.deepEqual(
    trees.flatMap((tree) => groups.map((group) => join(tree, group))).filter((path) => existsSync(path)),
    [],
  );

  const nothing = bed.run(["./nexus", "quickstart", "--down"]);
  assert.equal(nothing.code, 0);
  assert.match(nothing.stdout, /^nothing to remove/);
});

test("it leaves alone what it did not make, going up and going down", { skip, timeout: 180_000 }, async () => {
  await using bed = await makeBed();
  assert.equal(bed.run(["./nexus", "node", "create", "web", "--", "sleep", "1000"]).code, 0);
  const refused = bed.run(["./nexus", "quickstart", "--yes", "--json"]);
  assert.equal(refused.code, 1);
  assert.deepEqual(
    failures(outcome(refused)).map((line) => line.split(":")[0]),
    ["networks"],
  );
  assert.match(refused.stdout, /did not make[^"]*node web/);
  assert.equal(bed.run(["./nexus", "quickstart", "--down"]).code, 0);
  assert.match(bed.run(["./nexus", "node", "ls"]).stdout, /^web +running/m);

  assert.equal(bed.run(["./nexus", "node", "rm", "web", "--force"]).code, 0);
  assert.equal(bed.run(["./nexus", "network", "create", "mine"]).code, 0);
  const planned = bed.run(["./nexus", "plan", "examples/quickstart/quickstart.yaml"]);
  assert.match(planned.stdout, /^# run mini as node cache[^]*^# run mini as virtual machine box/m, planned.stderr);
  const listener = bed.start(["busybox", "httpd", "-f", "-p", "8080"]);
  const up = outcome(bed.run(["./nexus", "quickstart", "--yes", "--json"]));
  listener.kill();
  assert.deepEqual(failures(up), []);
  assert.match(up.checks.find((check) => check.name === "published-host")?.detail ?? "", /:8081\//, "a port that is taken is passed over");
  const down = bed.run(["./nexus", "quickstart", "--down"]);
  assert.match(down.stdout, /nexusd stays/);
  const networks = JSON.parse(bed.run(["./nexus", "network", "ls", "--json"]).stdout) as { name: string }[];
  assert.deepEqual(networks.map((network) => network.name).toSorted(), ["default", "mine"]);
});

test("interrupted or killed in the middle, it leaves no machine outside behind for long", { skip, timeout: 180_000 }, async () => {
  await using bed = await makeBed();
  const before = traces(bed);
  const interrupted = await signalAfter(bed, "isolation-networks", "SIGINT");
  assert.equal(interrupted.code, 130);
  assert.match(interrupted.stdout, /Interrupted/);
  assert.deepEqual(outsideOf(bed), []);
  await signalAfter(bed, "nat", "SIGKILL");
  assert.notDeepEqual(outsideOf(bed), []);
  const down = bed.run(["./nexus", "quickstart", "--down"]);
  assert.equal(down.code, 0, down.stderr);
  assert.deepEqual(outsideOf(bed), []);
  assert.deepEqual(traces(bed), before);
});

test("without a terminal it never asks: it names the commands and ends with 2", { skip, timeout: 60_000 }, async () => {
  await using bed = await makeBed();
  using programs = new ProgramDirectory();
  programs.put("apt-get", `touch ${programs.directory}/called; exit 100`);
  const before = traces(bed);
  const ran = bed.run(["./nexus", "quickstart"], { env: { PATH: programs.directory } });
  assert.equal(ran.code, 2, ran.stderr);
  assert.match(ran.stderr, /\.\/nexus quickstart --yes/);
  assert.match(ran.stderr, /apt-get install -y --no-install-recommends .*iputils-ping/);
  assert.ok(ran.ms < 20_000);
  assert.equal(existsSync(join(programs.directory, "called")), false);
  assert.deepEqual(traces(bed), before);
});

test("when apt-get fails, its last words are shown and nothing else is touched", { skip, timeout: 60_000 }, async () => {
  await using bed = await makeBed();
  using programs = new ProgramDirectory();
  programs.put("apt-get", `echo "E: Unable to locate package iputils-ping" >&2; exit 100`);
  const before = traces(bed);
  const ran = bed.run(["./nexus", "quickstart", "--yes", "--json"], { env: { PATH: programs.directory } });
  assert.equal(ran.code, 1);
  const { error } = JSON.parse(ran.stdout) as { error: { code: string; message: string } };
  assert.equal(error.code, "runtime-failed");
  assert.match(error.message, /Unable to locate package iputils-ping/);
  assert.deepEqual(traces(bed), before);
});

test("without root it says what to type instead", { skip }, (t) => {
  const asNobody = ["--reuid", "65534", "--regid", "65534", "--clear-groups"];
  if (spawnSync("setpriv", [...asNobody, "test", "-x", join(root, "node_modules/.bin/node")]).status !== 0)
    return t.skip("nobody cannot read this copy of Nexus");
  const ran = spawnSync("setpriv", [...asNobody, "./nexus", "quickstart", "--yes"], {
    cwd: root,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
    env: { PATH: process.env["PATH"] },
  });
  assert.equal(ran.status, 1, ran.stderr);
  assert.match(ran.stderr, /(sudo|su -c ')\s?\.\/nexus quickstart --yes/);
  assert.match(ran.stderr, /nothing was touched/);
});

/** Programs of our own to be found first. */
class ProgramDirectory implements Disposable {
  readonly directory = mkdtempSync(join(tmpdir(), "quickstart-programs-"));

  put(name: string, script: string): void {
    writeFileSync(join(this.directory, name), `#!/bin/sh\nPATH=/usr/bin:/bin\n${script}\n`, { mode: 0o755 });
  }

  [Symbol.dispose](): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** Runs quickstart and signals it as soon as it has told of one check. */
async function signalAfter(bed: Bed, check: string, signal: NodeJS.Signals): Promise<{ code: number | null; stdout: string }> {
  const child = bed.start(["./nexus", "quickstart", "--yes"]);
  let stdout = "";
  child.stdout?.setEncoding("utf8").on("data", (text: string) => {
    const known = stdout.includes(` ${check} `);
    stdout += text;
    if (!known && stdout.includes(` ${check} `)) child.kill(signal);
  });
  const [code] = (await once(child, "close")) as [number | null];
  return { code, stdout };
}

function outsideOf(bed: Bed): string[] {
  const seen = bed.run(["ls", "/run/netns"]).stdout + bed.run(["ip", "-br", "link"]).stdout;
  return seen.split("\n").filter((line) => /outside/.test(line));
}

function outcome({ stdout, stderr }: { stdout: string; stderr: string }): Outcome {
  assert.equal(stderr, "");
  return JSON.parse(stdout) as Outcome;
}

function failures({ checks }: Outcome): string[] {
  return checks.filter((check) => !check.ok).map((check) => `${check.name}: ${check.detail}`);
}
