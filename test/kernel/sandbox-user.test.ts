import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chownSync, mkdirSync, readdirSync, readFileSync, rmdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { before, describe, it } from "node:test";
import { busyboxRoot } from "./busybox-root.ts";
import { type CgroupHost, controllerDirectory, findCgroups } from "../../src/kernel/cgroups.ts";

const uid = 64203;
const home = "/run/home";
/** Where everybody may read it, whatever is above it. */
const checkout = "/run/checkout";

type Wish = { script: string; egress?: "none" | "proxy"; limits?: Record<string, number>; terminal?: boolean; root?: string };
type Answer = {
  check: { works: boolean; detail?: string; reason?: string };
  outcomes: { stdout: string; stderr: string; exit: { code: number; outOfMemory: boolean }; limitedBy?: "rlimits" }[];
};

function asUser(wishes: readonly Wish[], first = ":"): Answer {
  const probe = [join(checkout, "node_modules/.bin/node"), join(checkout, "test/kernel/sandbox-user-probe.ts"), home];
  const words = JSON.stringify(wishes.map((wish) => ({ egress: "none", ...wish })));
  const script = `${first}; exec setpriv --reuid ${uid} --regid ${uid} --clear-groups --inh-caps=-all --bounding-set=-all "$@"`;
  const said = execFileSync("sh", ["-c", script, "sh", ...probe, words], { encoding: "utf8", timeout: 120_000, cwd: "/" });
  return JSON.parse(said) as Answer;
}

describe("a sandbox of an ordinary user", () => {
  before(() => {
    mkdirSync(checkout);
    execFileSync("mount", ["--bind", join(import.meta.dirname, "../.."), checkout]);
    mkdirSync(home, { mode: 0o700 });
    chownSync(home, uid, uid);
  });

  it("is confined as root's is, writes the workspace as the user, and says how weakly it is limited", () => {
    const { check, outcomes } = asUser([
      { script: "id -u; echo made >made; cat /run/home/secret /proc/1/root/run/home/secret; ls /run /root; readlink /proc/self/ns/user" },
      { script: "grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status /proc/1/status | cut -d: -f2,3; ls /proc/self/fd" },
      { script: "for f in /x /usr/x /etc/x /dev/x /sys/x; do (echo >$f) 2>/dev/null && echo $f; done; unshare -U true; exit 7" },
      {
        script: "for d in /tmp ~ /dev/shm /run; do head -c 64M /dev/zero >$d/x; done 2>/dev/null; cat /tmp/x ~/x /dev/shm/x /run/x | wc -c",
      },
      { script: "ulimit -n; ulimit -u; tail /dev/zero", limits: { memoryBytes: 64 << 20 } },
      { script: "for i in $(seq 60); do sleep 5 & done; wait", limits: { pids: 12 } },
      { script: "(setsid sleep 600 &); exit 3" },
      { script: "stty size", terminal: true },
    ]);
    assert.equal(check.works, true);
    assert.match(check.detail ?? "", /limited by rlimit only/);
    const [seen, status, places, scratch, memory, processes, left, terminal] = outcomes;
    assert.equal(seen?.limitedBy, "rlimits");
    assert.match(seen?.stdout ?? "", /^1000\n\/root:\n\n\/run:\nuser:\[/);
    assert.equal(statSync(join(home, "workspace/made")).uid, uid);
    assert.deepEqual(readdirSync(join(home, "workspace")), ["made"]);
    assert.equal(status?.stdout.match(/Cap\w+:\s0{16}$/gm)?.length, 10);
    assert.equal(status?.stdout.match(/NoNewPrivs:\s1$/gm)?.length, 2);
    assert.equal(status?.stdout.match(/Seccomp:\s2$/gm)?.length, 2);
    assert.match(status?.stdout ?? "", /\n0\n1\n2\n3\n$/);
    assert.equal(places?.stdout, "");
    assert.equal(places?.exit.code, 7);
    assert.ok(Number(scratch?.stdout) <= 8 << 20);
    assert.match(memory?.stdout ?? "", /^128\n51\n/);
    assert.notEqual(memory?.exit.code, 0);
    assert.match(processes?.stderr ?? "", /fork|Resource temporarily unavailable/);
    assert.equal(left?.exit.code, 3);
    assert.match(terminal?.stdout ?? "", /24 80/);
    const words = readdirSync("/proc").flatMap((name) => (/^\d+$/.test(name) && ownerOf(name) === uid ? [cmdline(name)] : []));
    assert.deepEqual(words, []);
  });

  it("has a root file system of its own, by the shell of that one and no other program, beside one with the host's", () => {
    const root = busyboxRoot("/run/root", "own");
    mkdirSync(join(root, "workspace"));
    const script = "cat /etc/os-release /etc/hostname; id; ls /; touch /x /etc/x; pwd; echo x >made; nc 127.0.0.1 9080 </dev/null";
    const [own, host, again] = asUser([
      { script, root, egress: "proxy" },
      { script: "ls /usr/bin/env; cat /etc/hostname" },
      { script: "cat /etc/passwd", root },
    ]).outcomes;
    const tops = ["bin", "dev", "etc", "home", "mnt", "proc", "root", "run", "sys", "tmp", "workspace"];
    assert.equal(own?.stdout, `NAME=own\nsandbox\nuid=1000(sandbox) gid=1000(sandbox)\n${tops.join("\n")}\n/workspace\nfrom outside\n`);
    assert.match(own?.stderr ?? "", /(\/x: Read-only file system[^]*){2}/);
    assert.equal(host?.stdout, "/usr/bin/env\nsandbox\n");
    assert.match(again?.stdout ?? "", /^sandbox:x:1000:1000/m);
  });

  it("reaches the proxy's address and nothing else", () => {
    const script =
      "exec 3<>/dev/tcp/127.0.0.1/9080; cat <&3; (echo >/dev/tcp/127.0.0.1/22) 2>&1; (echo >/dev/tcp/10.0.0.1/80) 2>&1; ls /proc/self/fd | wc -l";
    const [first, second] = asUser([
      { script, egress: "proxy" },
      { script, egress: "proxy" },
    ]).outcomes;
    assert.match(first?.stdout ?? "", /^from outside\n.*refused\n.*unreachable\n/s);
    assert.deepEqual(second?.stdout, first?.stdout);
  });

  it("is limited by cgroups where the user was given one", () => {
    const host = findCgroups();
    const group = `/nexus-test-user-${process.pid}`;
    const places = delegate(host, group);
    try {
      const enter = places.map((place) => `echo $$ >${place}/cgroup.procs`).join("; ");
      const { check, outcomes } = asUser([{ script: "tail /dev/zero", limits: { memoryBytes: 32 << 20 } }, { script: "ulimit -v" }], enter);
      assert.match(check.detail ?? "", /limited by cgroups/);
      assert.deepEqual(outcomes[0]?.exit, { code: 137, outOfMemory: true });
      assert.equal(outcomes[1]?.stdout, "unlimited\n");
      for (const place of places) assert.deepEqual(groupsIn(join(place, "nexus-sandboxes")), []);
    } finally {
      for (const place of places) for (const path of [join(place, "nexus-sandboxes"), join(place, "nexus"), place]) removeGroup(path);
    }
  });
});

/** As a service manager does it: the group, and the files by which processes are moved in it, belong to the user. */
function delegate(host: CgroupHost, group: string): string[] {
  const places = (["memory", "cpu", "pids"] as const).map((controller) => controllerDirectory(host, controller, group)?.directory ?? "");
  for (const place of new Set(places)) {
    mkdirSync(place);
    for (const path of [place, join(place, "cgroup.procs")]) chownSync(path, uid, uid);
  }
  return [...new Set(places)];
}

function groupsIn(path: string): string[] {
  return readdirSync(path, { withFileTypes: true }).flatMap((entry) => (entry.isDirectory() ? [entry.name] : []));
}

function removeGroup(path: string): void {
  try {
    rmdirSync(path);
  } catch {
    // It was not made on this kind of host.
  }
}

function ownerOf(pid: string): number | undefined {
  return statSync(`/proc/${pid}`, { throwIfNoEntry: false })?.uid;
}

function cmdline(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "latin1");
  } catch {
    return "";
  }
}
