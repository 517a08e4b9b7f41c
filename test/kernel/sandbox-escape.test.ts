import assert from "node:assert/strict";
import { execFile, execFileSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { once } from "node:events";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { after, before, describe, it } from "node:test";
import fc from "fast-check";
import { bubblewrapCommand, stagedMounts } from "../../src/guests/bubblewrap-arguments.ts";
import { KernelError } from "../../src/base/errors.ts";
import { libc } from "../../src/sys/libc.ts";
import { SandboxBed } from "./sandbox-bed.ts";
import { attempt, type Attempt } from "./sandbox-probe.ts";

const [eperm, enosys, familyUnknown] = [1, 38, 97];

describe("what runs in a sandbox cannot get out", () => {
  let bed: SandboxBed;
  before(() => {
    bed = new SandboxBed();
  });
  after(async () => {
    await bed[Symbol.asyncDispose]();
  });

  it("has namespaces of its own, all seven", async () => {
    const kinds = ["user", "mnt", "pid", "net", "ipc", "uts", "cgroup"];
    const { stdout } = await bed.sh(`for kind in ${kinds.join(" ")}; do readlink /proc/self/ns/$kind; done`);
    const inside = stdout.trim().split("\n");
    assert.equal(inside.length, kinds.length);
    for (const [index, kind] of kinds.entries()) assert.notEqual(inside[index], readlinkSync(`/proc/self/ns/${kind}`), kind);
    assert.doesNotMatch((await bed.sh("cat /proc/self/cgroup")).stdout.replaceAll(/^.*:\/$/gm, ""), /\S/);
  });

  it("has no capability, may gain none, and every process of it is filtered, the first too", async () => {
    const { stdout } = await bed.sh("for p in 1 self; do grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/$p/status; done");
    const lines = stdout.trim().split("\n");
    assert.equal(lines.length, 14);
    for (const line of lines) assert.match(line, /^(Cap\w+:\s0{16}|NoNewPrivs:\s1|Seccomp:\s2)$/);
  });

  it("has the plan's environment and nothing of the daemon's, nowhere", async () => {
    process.env["NEXUS_TEST_SECRET"] = "hunter2";
    try {
      const env = { PATH: "/usr/bin:/bin", A: "1", TWO_LINES: "a\nb", LD_LIBRARY_PATH: "" };
      const { stdout } = await bed.run(["env", "-0"], { env });
      const seen = Object.fromEntries(
        stdout.split("\0").flatMap((line) => (line === "" ? [] : [/^([^=]*)=(.*)$/s.exec(line)?.slice(1) ?? []])),
      );
      assert.deepEqual(seen, { ...env, PWD: "/workspace" });
      const all = await bed.sh("cat /proc/*/environ /proc/*/cmdline | tr '\\0' '\\n'");
      assert.doesNotMatch(all.stdout, /hunter2|NEXUS_TEST|nexus-sandbox/);
    } finally {
      delete process.env["NEXUS_TEST_SECRET"];
    }
  });

  it("has descriptors 0, 1 and 2 and no other, whatever the daemon has open or was given", async () => {
    const leaky = openSync("/", "r");
    libc().fcntl(leaky, setDescriptorFlags, 0);
    // Sandboxes may have been made ahead of it: as many runs as may wait, and some.
    for (let i = 0; i < 4; i++) {
      const { stdout } = await bed.run([
        "perl",
        "-e",
        'opendir(my $d, "/proc/self/fd"); my $own = fileno($d) // 3; print join(" ", sort grep { /\\d/ && -e "/proc/self/fd/$_" } readdir $d)',
      ]);
      assert.deepEqual(stdout.split(" ").slice(0, 3), ["0", "1", "2"]);
      // The fourth is the directory it looks at.
      assert.deepEqual(stdout.split(" ").slice(3), ["3"]);
    }
  });

  it("makes none of the calls by which others got out", async () => {
    const refused: Attempt[] = [
      ["unshare", 0x10000000],
      ["unshare", 0x20000],
      ["unshare", 0x40000000],
      ["clone", 0x10000000 | 17, 0, 0, 0, 0],
      ["clone", 0x20000 | 17, 0, 0, 0, 0],
      ["setns", 0, 0],
      ["mount", "none", "/tmp", "tmpfs", 0, ""],
      ["mount", "/", "/tmp", "", 4096, ""],
      ["umount2", "/proc/keys", 2],
      ["pivot_root", "/tmp", "/tmp"],
      ["move_mount", 0, "", 0, "/tmp", 4],
      ["open_tree", -100, "/", 1],
      ["mount_setattr", -100, "/", 0, "", 32],
      ["fsopen", "tmpfs", 0],
      ["fsmount", 0, 0, 0],
      ["ptrace", 16, 1, 0, 0],
      ["process_vm_readv", 1, "", 0, "", 0, 0],
      ["process_vm_writev", 1, "", 0, "", 0, 0],
      ["pidfd_getfd", 0, 0, 0],
      ["kcmp", 1, 1, 0, 0, 0],
      ["keyctl", 0, -3, 0],
      ["add_key", "user", "x", "y", 1, -3],
      ["request_key", "user", "x", "", -3],
      ["bpf", 0, "", 0],
      ["userfaultfd", 0],
      ["perf_event_open", "", 0, -1, -1, 0],
      ["io_uring_setup", 1, ""],
      ["io_uring_enter", 0, 0, 0, 0, ""],
      ["io_uring_register", 0, 0, "", 0],
      ["open_by_handle_at", 0, "", 0],
      ["fanotify_init", 0, 0],
      ["quotactl", 0, "", 0, ""],
      ["init_module", "", 0, ""],
      ["finit_module", 0, "", 0],
      ["delete_module", "x", 0],
      ["kexec_load", 0, 0, "", 0],
      ["reboot", 0, 0, 0, ""],
      ["swapon", "/x", 0],
      ["syslog", 10, "", 0],
      ["acct", "/tmp/x"],
      ["sethostname", "x", 1],
      ["setdomainname", "x", 1],
      ["settimeofday", "", ""],
      ["clock_settime", 0, ""],
      ["personality", 0x0400000],
      ["ioctl", 0, 0x5412, "x"],
      ["ioctl", 0, 0x541c, "x"],
      ["vhangup"],
      ["lookup_dcookie", 0, "", 0],
      ["nfsservctl", 0, "", ""],
    ];
    const absent: Attempt[] = [
      ["clone3", "", 0],
      ["modify_ldt", 0, "", 0],
      ["statmount", "", "", 0, 0],
      ["mbind", 0, 0, 0, "", 0, 0],
    ];
    // What is merely not there on an architecture answers ENOSYS instead.
    const answers = await attempt(bed, [...refused, ...absent]);
    for (const [index, [name]] of refused.entries()) assert.ok([eperm, enosys].includes(answers[index] ?? 0), `${name}: ${answers[index]}`);
    for (const [index, [name]] of absent.entries()) assert.equal(answers[refused.length + index], enosys, name);
  });

  it("makes local and IP sockets and no others: no netlink, no packets, no other machine's", async () => {
    const families = Array.from({ length: 46 }, (_, family) => family);
    const answers = await attempt(
      bed,
      families.map((family): Attempt => ["socket", family, 2, 0]),
    );
    assert.deepEqual(
      families.filter((family) => answers[family] === 0),
      [1, 2, 10],
    );
    assert.deepEqual([...new Set(answers.filter((errno) => errno !== 0))], [familyUnknown]);
    const raw = await attempt(bed, [
      ["socket", 2, 3, 1],
      ["socket", 10, 3, 58],
    ]);
    assert.deepEqual(raw, [eperm, eperm]);
  });

  it("does not type into its terminal, though it is one", async () => {
    await using sandbox = await bed.start(["perl", "-e", 'my $x = "x"; print ioctl(STDIN, 0x5412, $x) ? "typed" : "refused $!"'], {
      terminal: { columns: 80, rows: 24 },
    });
    let said = "";
    sandbox.stdout.on("data", (bytes: Buffer) => (said += bytes.toString()));
    await sandbox.exit;
    assert.match(said, /refused Operation not permitted/);
  });

  it("sees processes of its own and no others", async () => {
    const { stdout } = await bed.sh(
      "ls /proc | grep -E '^[0-9]+$' | wc -l; ls -d /proc/" + String(process.pid) + "; readlink /proc/1/root",
    );
    assert.ok(Number(stdout.split("\n")[0]) <= 5);
    assert.doesNotMatch(stdout, new RegExp(`/proc/${process.pid}\n`));
  });

  it("sees nothing of the host's files but programs", async () => {
    const { stdout } = await bed.sh("ls / ; echo --; ls /root /home /run /mnt /sys /tmp /var; echo --; ls /etc");
    const [top, empty, etc] = stdout.split("--\n");
    const known = "bin dev etc home lib lib32 lib64 libx32 mnt nix proc root run sbin sys tmp usr var workspace".split(" ");
    for (const name of (top ?? "").trim().split("\n")) assert.ok(known.includes(name), name);
    assert.equal((empty ?? "").replaceAll(/^(\/\w+:|sandbox|run|tmp|)$/gm, "").trim(), "");
    assert.doesNotMatch(etc ?? "", /shadow|sudoers|ssh|machine-id|fstab/);
  });

  it("writes to scratch and workspace, and nowhere else", async () => {
    const { stdout } = await bed.sh("cat /proc/self/mountinfo");
    const mounts = stdout
      .trim()
      .split("\n")
      .map((line) => line.split(" "));
    const writable = mounts.filter((fields) => (fields[5] ?? "").split(",").includes("rw")).map((fields) => fields[4] ?? "");
    const devices = ["null", "zero", "full", "random", "urandom", "tty", "pts", "shm"].map((name) => `/dev/${name}`);
    assert.deepEqual(writable.filter((path) => !devices.includes(path)).toSorted(), [
      "/home/sandbox",
      "/proc",
      "/run",
      "/tmp",
      "/workspace",
    ]);
    for (const fields of mounts) assert.match(fields[5] ?? "", /nosuid/, `${fields[4]}`);
    const tries =
      "/x /usr/x /etc/x /bin/x /dev/x /proc/x /proc/sys/kernel/core_pattern /proc/sysrq-trigger /proc/sys/vm/drop_caches /proc/1/oom_score_adj";
    const { stdout: wrote } = await bed.sh(`for f in ${tries}; do (echo 0 >$f) 2>/dev/null && echo $f; done; true`);
    assert.equal(wrote.replace("/proc/1/oom_score_adj\n", ""), "");
  });

  it("reads of /proc nothing that is masked", async () => {
    const { stdout } = await bed.sh(
      "for f in keys interrupts kcore timer_list sched_debug kmsg kpageflags; do cat /proc/$f 2>/dev/null | head -c 100; done; ls /proc/acpi /proc/scsi 2>/dev/null | grep -v :",
    );
    assert.equal(stdout.trim(), "");
  });

  it("shares no memory, queues or keys with the host", async () => {
    const make = 'my $id = shmget(4711, 4096, 01666) // die; shmwrite($id, "secret", 0, 6); print $id';
    const id = execFileSync("perl", ["-e", make], { encoding: "utf8" });
    try {
      const { stdout } = await bed.run([
        "perl",
        "-e",
        `print defined(shmget(4711, 4096, 0)) ? "found" : "none"; my $b; print shmread(${id}, $b, 0, 6) ? $b : " $!"; print -e "/dev/mqueue" ? "queues" : ""`,
      ]);
      assert.match(stdout, /^none (Invalid argument|Identifier removed)$/);
    } finally {
      execFileSync("perl", ["-e", `shmctl(${id}, 0, 0)`]);
    }
    assert.doesNotMatch((await bed.sh("cat /proc/keys /proc/key-users; cat /proc/sysvipc/shm")).stdout, /4711|nexus/);
  });

  it("reaches no socket of the host, neither by a path nor by a name, and no network", async () => {
    const path = join(tmpdir(), `nexus-escape-${process.pid}.sock`);
    const servers = [path, `\0nexus-escape-${process.pid}`].map((place) => createServer((socket) => socket.end("got out")).listen(place));
    const tcp = createServer((socket) => socket.end("got out")).listen(0, "127.0.0.1");
    await Promise.all([...servers, tcp].map((server) => once(server, "listening")));
    try {
      const { port } = tcp.address() as { port: number };
      const script = `use Socket; for my $p (@ARGV) { socket(my $s, 1, 1, 0); print connect($s, pack("S a*", 1, $p =~ s/^@/\\0/r)) ? "in" : "no", "\n" }`;
      const { stdout } = await bed.run([
        "perl",
        "-e",
        script,
        path,
        `@nexus-escape-${process.pid}`,
        "/run/dbus/system_bus_socket",
        "/var/run/docker.sock",
      ]);
      assert.equal(stdout, "no\nno\nno\nno\n");
      const net = `for to in 127.0.0.1/${port} 10.0.0.1/80 169.254.169.254/80 1.1.1.1/53; do (echo >/dev/tcp/$to) 2>/dev/null && echo $to; done; cat /proc/net/dev | wc -l`;
      assert.equal((await bed.run(["bash", "-c", net], { env: { PATH: "/usr/bin", NO_PROXY: "*" } })).stdout, "3\n");
    } finally {
      for (const server of [...servers, tcp]) server.close();
    }
  });

  it("has bubblewrap mount nothing below a place it can write, so no link it plants is followed on the host", async () => {
    const masks = [
      { path: "/proc/keys", directory: false },
      { path: "/proc/acpi", directory: true },
    ];
    const words = bubblewrapCommand("/usr/bin/bwrap", { mounts: stagedMounts(masks), terminal: false });
    const makers = [
      "--dir",
      "--file",
      "--bind",
      "--ro-bind",
      "--dev-bind",
      "--bind-data",
      "--ro-bind-data",
      "--symlink",
      "--tmpfs",
      "--dev",
      "--proc",
      "--mqueue",
    ];
    const destinations = words.flatMap((word, index) => {
      if (!makers.includes(word)) return [];
      return [words[index + (["--dir", "--tmpfs", "--dev", "--proc", "--mqueue"].includes(word) ? 1 : 2)] ?? ""];
    });
    assert.deepEqual(destinations, ["/", "/proc", "/proc/keys", "/proc/acpi"]);
  });

  it("plants links in its workspace that the next run does not follow out", async () => {
    const target = join(tmpdir(), `nexus-escape-pwn-${process.pid}`);
    for (const name of ["a", "proc", "dev", "tmp", "run", "etc"]) symlinkSync(`/oldroot${target}`, join(bed.workspace, name));
    const before = readdirSync(bed.workspace);
    await bed.sh("mkdir -p a/b proc/b; echo >tmp/x; ls -la / >/dev/null", { cwd: "/workspace" });
    assert.equal(existsSync(target), false);
    assert.deepEqual(readdirSync(bed.workspace), before);
    for (const name of before) rmSync(join(bed.workspace, name));
  });

  it("is not started on a workspace that is a link, or has one on its way", async () => {
    const secret = join(bed.directory, "secret");
    mkdirSync(secret);
    writeFileSync(join(secret, "file"), "secret");
    const link = join(bed.directory, "link");
    symlinkSync(secret, link);
    for (const source of [link, join(bed.directory, "link/."), `${link}/file`]) {
      const workspace = { source, target: "/workspace", owner: { uid: 0, gid: 0 } };
      await assert.rejects(bed.sh("cat file", { workspace }), KernelError);
    }
  });

  it("sees the directory it was given, or is not started, when that is swapped for a link meanwhile", async () => {
    const [real, aside, secret] = ["swapped", "aside", "elsewhere"].map((name) => join(bed.directory, name)) as [string, string, string];
    for (const [path, text] of [
      [real, "given"],
      [secret, "secret"],
    ] as const) {
      mkdirSync(path);
      writeFileSync(join(path, "file"), text);
    }
    const swap = `for (1 .. 4000) { rename "${real}", "${aside}"; symlink "${secret}", "${real}"; unlink "${real}"; rename "${aside}", "${real}" }`;
    const swapper = promisify(execFile)("perl", ["-e", swap]);
    const seen = new Set<string>();
    for (let i = 0; i < 20; i++) {
      const workspace = { source: real, target: "/workspace", owner: { uid: 0, gid: 0 } };
      const said = await bed
        .sh("cat file", { workspace })
        .catch((error: unknown) => ({ stdout: error instanceof KernelError ? "refused" : String(error) }));
      seen.add(said.stdout);
    }
    await swapper;
    for (const said of seen) assert.ok(["given", "refused"].includes(said), said);
  });

  it("leads itself astray by its working directory at most inside", async () => {
    symlinkSync("/etc", join(bed.workspace, "away"));
    symlinkSync("/oldroot/etc", join(bed.workspace, "old"));
    assert.equal((await bed.sh("pwd; cat passwd | grep -c sandbox", { cwd: "/workspace/away" })).stdout, "/etc\n1\n");
    await assert.rejects(bed.sh("pwd", { cwd: "/workspace/old" }), /runtime-failed|can't cd|No such file/);
    for (const name of ["away", "old"]) rmSync(join(bed.workspace, name));
  });

  it("is given any words and variables as they are, and none of them means anything to its makers", async () => {
    const character = fc.constantFrom(
      ..."-=$`'\"\\ \t\n;&|<>*?~#()\r\u0001\u001b\u007f\u0081\u0088üé漢".split(""),
      "--bind",
      "--",
      "\\n",
      "_nexus_word",
      "a",
    );
    const word = fc.array(character, { maxLength: 12 }).map((parts) => parts.join(""));
    await fc.assert(
      fc.asyncProperty(fc.array(word, { maxLength: 6 }), word, async (words, value) => {
        const command: [string, ...string[]] = ["perl", "-e", 'print join("\\0", @ARGV, $ENV{V}, "")', "--", ...words];
        const { stdout } = await bed.run(command, { env: { PATH: "/usr/bin:/bin", V: value } });
        assert.deepEqual(stdout.split("\0").slice(0, -1), [...words, value]);
      }),
      { numRuns: 25 },
    );
  });

  it("leaves the workspace as its command left it, whose files nobody of the host runs as root", async () => {
    writeFileSync(join(bed.workspace, "kept"), "kept");
    const before = statSync(bed.workspace).mtimeMs;
    await bed.sh("true");
    assert.deepEqual(readdirSync(bed.workspace), ["kept"]);
    assert.equal(statSync(bed.workspace).mtimeMs, before);
    const { stdout } = await bed.sh(
      "cp /bin/true mine; chmod 4755 mine; chmod 2755 mine; chmod 755 mine; mkfifo pipe && rm pipe; stat -c %a mine",
    );
    assert.equal(stdout, "755\n");
    assert.equal(statSync(join(bed.workspace, "mine")).mode & 0o7777, 0o755);
    assert.equal(readFileSync(join(bed.workspace, "kept"), "utf8"), "kept");
    rmSync(join(bed.workspace, "kept"));
    rmSync(join(bed.workspace, "mine"));
  });
});

const setDescriptorFlags = 2;
