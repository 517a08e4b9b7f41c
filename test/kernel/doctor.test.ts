import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { parsePrefix, type Prefix } from "../../src/base/prefix.ts";
import type { CheckResult, DoctorContext, DoctorReport } from "../../src/host/doctor/report.ts";
import { examine } from "../../src/daemon/examine.ts";
import { runDoctor } from "../../src/host/doctor/run.ts";
import { defaultConfig } from "../../src/spec/config.ts";
import { tryLockFile } from "../../src/sys/lock.ts";

const directory = mkdtempSync("/var/tmp/nexus-doctor-test-");
after(() => rmSync(directory, { recursive: true, force: true }));

test("a healthy host passes every needed check", async () => {
  const report = await runDoctor(context());
  assert.deepEqual(
    report.checks.filter((check) => check.needed && check.ok !== "ok" && check.name !== "ip-forward"),
    [],
  );
  assert.equal(report.ok, true);
});

test("an examination changes nothing: links, rules, mounts, groups, files and settings are as before", async () => {
  const before = everything();
  await runDoctor(context());
  assert.deepEqual(everything(), before);
});

test("every finding that is not ok comes with a remedy", async () => {
  for (const report of [
    await runDoctor(context({ networks: [], probeRuntimes: async () => [] })),
    subject({}, ["-net_admin"]),
    subject({}, ["-sys_admin"]),
  ]) {
    for (const check of report.checks)
      if (check.ok === "warn" || check.ok === "fail") assert.ok(check.remedy, `${check.name}: ${check.detail}`);
  }
});

test("without CAP_NET_ADMIN the doctor says so and exits with a failure", () => {
  const report = subject({}, ["-net_admin"]);
  const check = found(report, "net-admin");
  assert.equal(check.ok, "fail");
  assert.match(check.detail, /CAP_NET_ADMIN/);
  assert.match(check.remedy ?? "", /as root, as a system service/);
  for (const { name, remedy = "" } of report.checks)
    assert.doesNotMatch(remedy, /CAP_|Ambient|setcap/, `${name}: capabilities alone do not suffice`);
  assert.equal(found(report, "forward-policy").ok, "skip");
  assert.equal(report.ok, false);
});

test("without CAP_SYS_ADMIN namespaces fail, and what needs one is skipped rather than blamed", () => {
  const report = subject({}, ["-sys_admin"]);
  assert.equal(found(report, "namespaces").ok, "fail");
  assert.equal(found(report, "net-admin").ok, "ok");
  assert.equal(found(report, "link-kinds").ok, "skip");
  assert.equal(report.ok, false);
});

test("a state directory on a read-only file system fails with the way out", async () => {
  const place = join(directory, "read-only");
  mkdirSync(place);
  execFileSync("mount", ["--bind", place, place]);
  execFileSync("mount", ["-o", "remount,ro,bind", place]);
  try {
    const check = found(await runDoctor(context({ stateDirectory: place })), "state-directory");
    assert.equal(check.ok, "fail");
    assert.match(check.detail, /EROFS/);
    assert.match(check.remedy ?? "", /state_dir/);
  } finally {
    execFileSync("umount", [place]);
  }
});

test("a state directory in memory is a warning, one that others may write to a failure", async () => {
  const memory = found(await runDoctor(context({ stateDirectory: "/run/nexus-state" })), "state-directory");
  assert.equal(memory.ok, "warn");
  assert.match(memory.detail, /tmpfs/);
  const open = join(directory, "open");
  mkdirSync(open);
  execFileSync("chmod", ["777", open]);
  const check = found(await runDoctor(context({ stateDirectory: open })), "state-directory");
  assert.equal(check.ok, "fail");
  assert.match(check.remedy ?? "", /chmod 700/);
});

test("a route that overlaps a configured network is named, one through its own bridge is not", async () => {
  ip(
    "link add nxd0 type veth peer name nxd1",
    "addr add 192.0.2.1/24 dev nxd0",
    "link set nxd0 up",
    "link set nxd1 up",
    "route add 10.77.0.0/16 via 192.0.2.9",
    "route add 10.78.4.0/24 dev nxd1",
  );
  try {
    const overlapping = context({ networks: [network("lan", { bridge: "nx-lan", prefix: "10.77.3.0/24" })] });
    const check = found(await runDoctor(overlapping), "subnets");
    assert.equal(check.ok, "fail");
    assert.match(check.detail, /lan/);
    assert.match(check.detail, /10\.77\.0\.0\/16/);
    const own = context({ networks: [network("lan", { bridge: "nxd1", prefix: "10.78.4.0/24" })] });
    assert.equal(found(await runDoctor(own), "subnets").ok, "ok");
  } finally {
    ip("link del nxd0");
  }
});

test("two networks that overlap each other are named", async () => {
  const networks = [network("a", { bridge: "nx-a", prefix: "10.80.0.0/16" }), network("b", { bridge: "nx-b", prefix: "10.80.7.0/24" })];
  const check = found(await runDoctor(context({ networks })), "subnets");
  assert.equal(check.ok, "fail");
  assert.match(check.detail, /\ba\b.*\bb\b/);
});

test("forwarding that is off is a warning, and --fix turns it on", async () => {
  const file = "/proc/sys/net/ipv4/ip_forward";
  writeFileSync(file, "0");
  const check = found(await runDoctor(context()), "ip-forward");
  assert.equal(check.ok, "warn");
  assert.match(check.remedy ?? "", /net\.ipv4\.ip_forward=1/);
  assert.equal(readFileSync(file, "utf8"), "0\n");
  const fixed = found(await runDoctor(context(), { fix: true, only: ["ip-forward"] }), "ip-forward");
  assert.equal(fixed.ok, "ok");
  assert.match(fixed.fixed ?? "", /ip_forward/);
  assert.equal(readFileSync(file, "utf8"), "1\n");
});

test("forwarding that is off under a network that is up is a failure, and reconciling the way out", async () => {
  const file = "/proc/sys/net/ipv4/ip_forward";
  writeFileSync(file, "0");
  ip("link add nx-lan type bridge");
  try {
    const networks = [
      network("lan", { bridge: "nx-lan", prefix: "10.81.0.0/24" }),
      network("later", { bridge: "nx-later", prefix: "10.82.0.0/24" }),
    ];
    const report = await runDoctor(context({ networks }), { only: ["ip-forward"] });
    const check = found(report, "ip-forward");
    assert.equal(check.ok, "fail");
    assert.match(check.detail, /\blan\b/);
    assert.doesNotMatch(check.detail, /later|first network/);
    assert.equal(check.remedy, "nexus reconcile");
    assert.equal(report.ok, false);
  } finally {
    ip("link del nx-lan");
    writeFileSync(file, "1");
  }
});

test("an examination where no daemon ever ran makes no state directory, and tries runtimes all the same", async () => {
  const place = join(directory, "never");
  mkdirSync(place);
  const stateDir = join(place, "lib/nexus");
  const config = { ...defaultConfig(), state_dir: stateDir, run_dir: join(place, "run") };
  const report = await examine(config, { uid: 0, env: {} }, { fix: false });
  assert.match(found(report, "oci-runtime").detail, /ran a container/);
  assert.deepEqual(readdirSync(place), []);
});

test("without a daemon too, the networks that are there are what is looked at and mended", async () => {
  for (const line of ["-N DOCKER-USER", "-A FORWARD -j DOCKER-USER", "-P FORWARD DROP"]) execFileSync("iptables", line.split(" "));
  execFileSync("ip", "link add nx-lan group 0x4e000001 type bridge".split(" "));
  try {
    const config = { ...defaultConfig(), state_dir: join(directory, "none"), run_dir: join(directory, "run") };
    const check = found(await examine(config, { uid: 0, env: {} }, { fix: true }), "forward-policy");
    assert.equal(check.ok, "ok");
    assert.match(check.fixed ?? "", /let nx-lan through/);
  } finally {
    execFileSync("nft", ["flush", "ruleset"]);
    execFileSync("ip", ["link", "del", "nx-lan"]);
  }
});

test("without the right to change networks, no module or package is named as the remedy", () => {
  const failed = subject({}, ["-net_admin"]).checks.filter((check) => check.ok === "fail");
  assert.ok(failed.some((check) => check.name === "nf-tables-features"));
  for (const { name, remedy } of failed) assert.match(remedy ?? "", /run nexusd as root/, name);
});

test("a runtime that does not run is reported with its words, none at all as a failure", async () => {
  const mixed = async () => [
    { name: "crun", works: false, problem: "cgroups in hybrid mode not supported" },
    { name: "runc", works: true, version: "runc version 1.1.5+ds1" },
  ];
  const check = found(await runDoctor(context({ probeRuntimes: mixed })), "oci-runtime");
  assert.equal(check.ok, "ok");
  assert.match(check.detail, /runc \(1\.1\.5\+ds1\) ran.*crun does not: cgroups in hybrid mode/);
  const none = await runDoctor(context({ probeRuntimes: async () => [] }));
  assert.equal(found(none, "oci-runtime").ok, "fail");
  assert.equal(none.ok, false);
});

test("a daemon that holds the state directory but does not answer is named by its pid", async () => {
  const file = join(directory, "state", "nexusd.lock");
  using lock = tryLockFile(file);
  assert.ok(lock);
  writeFileSync(file, `${process.pid}\n`);
  const check = found(await runDoctor(context()), "daemon");
  assert.equal(check.ok, "warn");
  assert.match(check.detail, new RegExp(`pid ${process.pid}\\b`));
});

test("a check that throws is a broken condition, not a broken doctor", async () => {
  const report = await runDoctor(context({ probeRuntimes: async () => Promise.reject(new Error("no such file")) }));
  assert.equal(found(report, "oci-runtime").ok, "fail");
  assert.match(found(report, "oci-runtime").detail, /no such file/);
});

function context(change: Partial<DoctorContext> = {}): DoctorContext {
  const state = join(directory, "state");
  mkdirSync(state, { recursive: true, mode: 0o700 });
  return {
    stateDirectory: state,
    socketPath: join(directory, "none.sock"),
    networks: [],
    probeRuntimes: async () => [{ name: "runc", works: true }],
    ...change,
  };
}

/** The doctor as a process of its own, without some capabilities. */
function subject(given: Record<string, unknown>, drop: string[]): DoctorReport {
  const script = join(import.meta.dirname, "doctor-subject.ts");
  const args = ["--bounding-set", drop.join(","), process.execPath, script, JSON.stringify({ stateDirectory: directory, ...given })];
  return JSON.parse(execFileSync("setpriv", args, { encoding: "utf8", timeout: 60_000 })) as DoctorReport;
}

function found(report: DoctorReport, name: string): CheckResult {
  const check = report.checks.find((one) => one.name === name);
  assert.ok(check, `no check named ${name}`);
  return check;
}

function network(name: string, where: { bridge: string; prefix: string }) {
  return { name, bridge: where.bridge, prefixes: [parsePrefix(where.prefix) as Prefix] };
}

function everything(): unknown {
  return {
    links: execFileSync("ip", ["-j", "link"], { encoding: "utf8" }),
    rules: execFileSync("nft", ["-j", "list", "ruleset"], { encoding: "utf8" }),
    mounts: readFileSync("/proc/self/mountinfo", "utf8"),
    files: readdirSync(directory, { recursive: true, encoding: "utf8" }).toSorted((a, b) => a.localeCompare(b)),
    groups: readdirSync("/sys/fs/cgroup", { recursive: true }).filter((path) => String(path).includes("nexus-doctor")),
    forward: readFileSync("/proc/sys/net/ipv4/ip_forward", "utf8"),
  };
}

function ip(...lines: string[]): void {
  execFileSync("ip", ["-batch", "-"], { input: `${lines.join("\n")}\n` });
}
