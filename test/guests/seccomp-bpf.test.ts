import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { describe, test } from "node:test";
import fc from "fast-check";
import { compileFilter } from "../../src/guests/seccomp-bpf.ts";
import { type CallAction, type CallPolicy, type Condition, sandboxPolicy } from "../../src/guests/seccomp-sandbox.ts";
import { type FilteredArchitecture, systemCallNumbers } from "../../src/guests/syscall-numbers.ts";

type Call = { architecture: number; number: number; arguments: bigint[] };

const audit = { x64: 0xc000_003e, arm64: 0xc000_00b7, i386: 0x4000_0003, arm: 0x4000_0028 } as const;
const allowed = 0x7fff_0000;
const killed = 0x8000_0000;
const errno = (number: number): number => (0x0005_0000 | number) >>> 0;

/** The kernel's filter machine as far as filters of system calls may use it: one register, one structure, jumps forward. */
function simulate(filter: Uint8Array, call: Call): number {
  const data = new DataView(new ArrayBuffer(64));
  data.setUint32(0, call.number, true);
  data.setUint32(4, call.architecture, true);
  for (const [index, argument] of call.arguments.entries()) data.setBigUint64(16 + index * 8, BigInt.asUintN(64, argument), true);
  const program = new DataView(filter.buffer, filter.byteOffset, filter.length);
  let register = 0;
  for (let at = 0, steps = 0; ; at++, steps++) {
    assert.ok(at * 8 < filter.length, "it runs off its end");
    assert.ok(steps < 100, "it takes too many steps");
    const [code, whenTrue, whenFalse] = [program.getUint16(at * 8, true), program.getUint8(at * 8 + 2), program.getUint8(at * 8 + 3)];
    const value = program.getUint32(at * 8 + 4, true);
    switch (code) {
      case 0x20:
        register = data.getUint32(value, true);
        break;
      case 0x05:
        at += value;
        break;
      case 0x15:
        at += register === value ? whenTrue : whenFalse;
        break;
      case 0x35:
        at += register >= value ? whenTrue : whenFalse;
        break;
      case 0x45:
        at += (register & value) !== 0 ? whenTrue : whenFalse;
        break;
      case 0x06:
        return value;
      default:
        assert.fail(`instruction ${code.toString(16)} is not one a filter may have`);
    }
  }
}

/** What the policy says, read without the compiler. */
function expected(policy: CallPolicy, name: string | undefined, values: readonly bigint[]): number {
  const rule = (name === undefined ? undefined : policy.calls.get(name)) ?? policy.otherwise;
  const word = (action: CallAction): number => (action === "allow" ? allowed : errno(action.errno));
  if (rule === "allow" || "errno" in rule) return word(rule);
  const holds = ({ argument, test: kind, values: of }: Condition): boolean => {
    const low = Number(BigInt.asUintN(32, values[argument] ?? 0n));
    return of.some((v) => (kind === "equals" ? low === v : (low & v) !== 0));
  };
  const met = rule.cases.find(({ when }) => when.every(holds));
  return word(met?.action ?? rule.otherwise);
}

const architectures: FilteredArchitecture[] = ["x64", "arm64"];

for (const architecture of architectures) {
  describe(`the filter for ${architecture}`, () => {
    const policy = sandboxPolicy();
    const filter = compileFilter(policy, architecture);
    const numbers = systemCallNumbers(architecture);
    const names = new Map([...numbers].map(([name, number]) => [number, name]));
    const of = (number: number, values: bigint[] = []): number =>
      simulate(filter, { architecture: audit[architecture], number, arguments: values });
    const call = (name: string, ...values: (number | bigint)[]): number => of(numbers.get(name) ?? -1, values.map(BigInt));

    test("answers every number there is, and those there are not, as the policy says", () => {
      for (let number = 0; number < 700; number++) assert.equal(of(number), expected(policy, names.get(number), []), `${number}`);
      for (const number of [0x3fff_ffff, 0x7fff_ffff, 0xffff_ffff]) assert.equal(of(number), errno(38));
    });

    test("answers any call with any arguments as the policy says", () => {
      const interesting = fc.constantFrom(
        0n,
        1n,
        2n,
        10n,
        16n,
        17n,
        38n,
        40n,
        0x5412n,
        0x541cn,
        0x8n,
        0x10000000n,
        0x11n,
        0xffffffffn,
        0o101n,
        0o4755n,
        0o2n,
      );
      const argument = fc.oneof(
        interesting,
        fc.bigInt(0n, 2n ** 64n - 1n),
        interesting.map((low) => low + (1n << 32n)),
      );
      const number = fc.oneof(fc.constantFrom(...numbers.values()), fc.nat(1000));
      fc.assert(
        fc.property(number, fc.array(argument, { minLength: 6, maxLength: 6 }), (chosen, values) => {
          assert.equal(of(chosen, values), expected(policy, names.get(chosen), values));
        }),
        { numRuns: 2000 },
      );
    });

    test("kills what speaks another instruction set", () => {
      for (const other of Object.values(audit).filter((one) => one !== audit[architecture]))
        assert.equal(simulate(filter, { architecture: other, number: 1, arguments: [] }), killed);
    });

    test("lets only local and IP sockets be made", () => {
      for (let family = 0; family < 64; family++)
        for (const name of ["socket", "socketpair"])
          assert.equal(call(name, family) === allowed, [1, 2, 10].includes(family), `${name} ${family}`);
      assert.notEqual(call("socket", 16n), allowed);
      // The kernel takes an int: what is above it changes nothing.
      assert.notEqual(call("socket", (1n << 32n) | 16n), allowed);
    });

    test("lets threads be made and namespaces not", () => {
      assert.equal(call("clone", 0x3d0f00), allowed);
      assert.equal(call("clone", 17), allowed);
      for (const flag of [0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000]) {
        assert.equal(call("clone", flag | 17), errno(1));
        assert.equal(call("unshare", flag), errno(1));
      }
      assert.equal(call("unshare", 0x80), errno(1));
      assert.equal(call("clone3", 0, 0), errno(38));
      assert.equal(call("setns", 3, 0), errno(1));
    });

    test("lets nobody type into a terminal, whatever is in the upper half of the request", () => {
      for (const high of [0n, 1n << 32n, 0xffff_ffffn << 32n])
        for (const request of [0x5412n, 0x541cn]) assert.equal(call("ioctl", 0, high | request, 0), errno(1));
      assert.equal(call("ioctl", 0, 0x5401, 0), allowed);
    });

    test("lets no file be made that is somebody else's to run as its owner", () => {
      for (const mode of [0o4755, 0o2755, 0o6000]) {
        assert.equal(call("fchmod", 3, mode), errno(1));
        assert.equal(call("fchmodat", -100n, 0, mode), errno(1));
        assert.equal(call("fchmodat2", -100n, 0, mode, 0), errno(1));
        assert.equal(call("mknodat", -100n, 0, 0o100000 | mode, 0), errno(1));
        assert.equal(call("openat", -100n, 0, 0o101, mode), errno(1));
        assert.equal(call("openat", -100n, 0, 0o20200002, mode), errno(1));
        // Nothing is made, so what is in the mode's register does not count.
        assert.equal(call("openat", -100n, 0, 0o2, mode), allowed);
      }
      assert.equal(call("fchmod", 3, 0o1777), allowed);
      assert.equal(call("openat", -100n, 0, 0o101, 0o755), allowed);
      assert.equal(call("openat2", -100n, 0, 0, 24), errno(38));
      if (architecture === "x64") for (const name of ["chmod", "creat", "mknod"]) assert.equal(call(name, 0, 0o4755), errno(1));
      if (architecture === "x64") assert.equal(call("open", 0, 0o101, 0o4755), errno(1));
    });

    test("refuses the kernel's insides", () => {
      const refused =
        "ptrace process_vm_readv process_vm_writev keyctl add_key request_key bpf userfaultfd perf_event_open io_uring_setup io_uring_enter " +
        "io_uring_register mount umount2 pivot_root move_mount fsopen open_tree mount_setattr kexec_load init_module reboot swapon setns " +
        "open_by_handle_at quotactl acct syslog sethostname settimeofday clock_settime pidfd_getfd";
      for (const name of refused.split(" ")) assert.equal(call(name), errno(1), name);
      for (const name of ["execve", "openat", "mmap", "futex", "mknodat", "newfstatat", "landlock_create_ruleset"])
        assert.equal(call(name), allowed, name);
    });
  });
}

test("x86-64's second set of calls is not there", () => {
  const filter = compileFilter(sandboxPolicy(), "x64");
  for (const number of [0x4000_0000, 0x4000_0001, 0x4000_0200])
    assert.equal(simulate(filter, { architecture: audit.x64, number, arguments: [] }), errno(38));
});

test("numbers of system calls are those of this machine's headers", () => {
  const header = "/usr/include/x86_64-linux-gnu/asm/unistd_64.h";
  const known = systemCallNumbers("x64");
  const all = existsSync(header) ? [...readFileSync(header, "utf8").matchAll(/^#define __NR_(\w+)\s+(\d+)/gm)] : [];
  for (const [, name, number] of all) assert.equal(known.get(name ?? ""), Number(number), `${name}`);
  // Some that every reader knows, for machines without headers.
  assert.deepEqual(
    ["read", "execve", "clone3"].map((name) => known.get(name)),
    [0, 59, 435],
  );
  const arm = systemCallNumbers("arm64");
  assert.deepEqual(
    ["read", "execve", "clone", "newfstatat", "clone3", "mseal"].map((name) => arm.get(name)),
    [63, 221, 220, 79, 435, 462],
  );
});
