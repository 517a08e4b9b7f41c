import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { after, before, describe, it } from "node:test";
import { OciBed, text } from "./oci-bed.ts";

/** System calls made by number, for no small program offers them all: x86-64 numbers (arch/x86/entry/syscalls/syscall_64.tbl). */
const eperm = 1;
const enosys = 38;
const calls: [name: string, args: number[], errno: number][] = [
  ["mount", [165, 0, 0, 0, 0, 0], eperm],
  ["umount2", [166, 0, 0], eperm],
  ["pivot_root", [155, 0, 0], eperm],
  ["unshare(CLONE_NEWUSER)", [272, 0x10000000], eperm],
  ["unshare(CLONE_NEWNET)", [272, 0x40000000], eperm],
  ["clone(CLONE_NEWUSER)", [56, 0x10000000 + 17, 0, 0, 0, 0], eperm],
  ["clone3", [435, 0, 0], enosys],
  ["setns", [308, 0, 0], eperm],
  ["keyctl", [250, 0, 0, 0, 0, 0], eperm],
  ["add_key", [248, 0, 0, 0, 0, 0], eperm],
  ["bpf", [321, 0, 0, 0], eperm],
  ["userfaultfd", [323, 0], eperm],
  ["perf_event_open", [298, 0, 0, 0, 0, 0], eperm],
  ["io_uring_setup", [425, 0, 0], eperm],
  ["init_module", [175, 0, 0, 0], eperm],
  ["kexec_load", [246, 0, 0, 0, 0], eperm],
  ["open_by_handle_at", [304, 0, 0, 0], eperm],
  ["socket(AF_PACKET)", [41, 17, 3, 0], enosys],
  ["socket(AF_VSOCK)", [41, 40, 1, 0], enosys],
  ["socket(AF_ALG)", [41, 38, 5, 0], enosys],
  ["a call not yet invented", [1000], enosys],
  ["socket(AF_INET)", [41, 2, 1, 0], 0],
  ["unshare(CLONE_FILES)", [272, 0x400], 0],
];

describe(
  "what a container may not do",
  { skip: process.arch === "x64" && existsSync("/usr/bin/perl") ? false : "needs perl on x86-64" },
  () => {
    let bed: OciBed;
    let root: string;
    before(() => {
      bed = new OciBed();
      root = perlRoot(bed.directory);
    });
    after(async () => {
      await bed[Symbol.asyncDispose]();
    });

    it("makes no dangerous system call", async () => {
      const script = `for (@ARGV) { $! = 0; my ($n, @a) = map { int } split /,/; my $r = syscall($n, @a); print(($r == -1 ? $!+0 : 0), "\\n") }`;
      const plan = await bed.run("calls", ["/usr/bin/perl", "-e", script, ...calls.map(([, args]) => args.join(","))], { image: root });
      const { lastLines } = await bed.exit(plan);
      assert.deepEqual(
        calls.map(([name], i) => [name, Number(lastLines[i])]),
        calls.map(([name, , errno]) => [name, errno]),
      );
      await bed.driver.remove(plan);
    });

    it("has few capabilities, can gain none, and sees its kernel files masked or read-only", async () => {
      const script =
        "grep -E 'Cap(Prm|Eff|Bnd|Amb)|NoNewPrivs|Seccomp:' /proc/self/status; touch /sys/x; echo 1 >/proc/sys/kernel/panic; wc -c </proc/interrupts; ls /sys/firmware; mknod /tmp/sda b 8 0; ls /dev";
      const plan = await bed.run("rights", ["sh", "-c", `exec 2>&1; ${script}`]);
      const said = (await bed.exit(plan)).lastLines.join("\n");
      assert.match(
        said,
        /CapPrm:\t00000000000425fb\nCapEff:\t00000000000425fb\nCapBnd:\t00000000000425fb\nCapAmb:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2/,
      );
      assert.match(said, /\/sys\/x: Read-only file system/);
      assert.match(said, /panic: Read-only file system/);
      assert.match(said, /^0$/m);
      assert.match(said, /mknod: \/tmp\/sda: Operation not permitted/);
      assert.doesNotMatch(said, /^(kvm|vda|sda|mem)$/m);
      await bed.driver.remove(plan);
    });

    it("has volumes nosuid and nodev, with what is mounted in them, and read-only as a whole", async () => {
      const source = join(bed.directory, "given");
      mkdirSync(join(source, "inner"), { recursive: true });
      execFileSync("mount", ["-t", "tmpfs", "-o", "mode=755", "inner", join(source, "inner")]);
      try {
        for (const readOnly of [false, true]) {
          const name = readOnly ? "reads" : "writes";
          const script = "grep -E ' /given( |/)' /proc/self/mountinfo; for d in /given /given/inner; do touch $d/x && echo wrote $d; done";
          const planned = { ...bed.plan(name, { command: ["sh", "-c", script] }), volumes: [{ source, target: "/given", readOnly }] };
          await bed.driver.prepare(planned, () => undefined);
          await bed.driver.start(planned);
          const said = (await bed.exit(planned)).lastLines.join("\n");
          for (const place of ["/given", "/given/inner"])
            assert.match(said, new RegExp(` ${place} ${readOnly ? "ro" : "rw"},nosuid,nodev[, ]`), said);
          assert.equal(/wrote/.test(said), !readOnly, said);
          await bed.driver.remove(planned);
        }
      } finally {
        execFileSync("umount", [join(source, "inner")]);
      }
    });

    it("has directories in memory as asked, without rights, and what lies in another is mounted after it", async () => {
      const tmpfs = [
        { target: "/t/in", size: 65536, mode: "1700", uid: 7, gid: 8 },
        { target: "/t", exec: true },
        { target: "/r", readOnly: true },
      ];
      const say =
        "grep -E ' /(t|t/in|r) ' /proc/self/mountinfo; stat -c '%n %a %u %g' /t /t/in; touch /r/x; head -c 70000 /dev/zero >/t/in/x";
      const plan = await bed.run("memory", ["sh", "-c", `exec 2>&1; ${say}; cp /bin/busybox /t/busybox && /t/busybox echo it runs`], {
        tmpfs,
      });
      const said = (await bed.exit(plan)).lastLines.join("\n");
      assert.match(said, / \/t rw,nosuid,nodev,relatime - tmpfs /);
      assert.match(said, / \/t\/in rw,nosuid,nodev,noexec,relatime - tmpfs tmpfs rw,size=64k,mode=1700,uid=7,gid=8/);
      assert.match(said, /^\/t 1777 0 0\n\/t\/in 1700 7 8$/m);
      assert.match(said, /\/r\/x: Read-only file system/);
      assert.match(said, /^head: standard output: /m);
      assert.match(said, /^it runs$/m);
      await bed.driver.remove(plan);
    });

    it("can ping and serve low ports", async () => {
      execFileSync("ip", ["-n", bed.netns, "link", "set", "lo", "up"]);
      const plan = await bed.run("pings", ["sleep", "1000"]);
      const session = await bed.driver.exec(plan, {
        command: [
          "sh",
          "-c",
          "ping -c 1 -W 2 127.0.0.1 | grep '1 packets received'; (echo hi | nc -l -p 80 &) ; sleep 0.2; nc 127.0.0.1 80 </dev/null",
        ],
        env: {},
      });
      const said = await text(session.stdout);
      assert.match(said, /1 packets received/);
      assert.match(said, /^hi$/m);
      await bed.driver.remove(plan);
    });
  },
);

/** A root file system with perl and what it is linked to. */
function perlRoot(directory: string): string {
  const root = join(directory, "perl-root");
  const libraries = execFileSync("ldd", ["/usr/bin/perl"], { encoding: "utf8" }).match(/\/\S+/g) ?? [];
  for (const file of ["/usr/bin/perl", ...libraries]) {
    mkdirSync(join(root, dirname(file)), { recursive: true });
    copyFileSync(file, join(root, file));
  }
  assert.ok(readFileSync(join(root, "usr/bin/perl")).length > 0);
  return root;
}
