import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { seccompProfile } from "../../src/guests/seccomp.ts";

test("a system call is either allowed or refused, never both, and listed once", () => {
  const seen = new Set<string>();
  const [allowed, refused] = seccompProfile("x64").syscalls;
  for (const name of [...(allowed?.names ?? []), ...(refused?.names ?? [])]) {
    assert.match(name, /^[a-z_][a-z0-9_]*$/);
    assert.ok(!seen.has(name), `${name} is listed twice`);
    seen.add(name);
  }
});

const header = ["/usr/include/x86_64-linux-gnu/asm/unistd_64.h", "/usr/include/asm/unistd_64.h"].find((path) => existsSync(path));
test("every system call of this machine's headers was decided on", { skip: header === undefined ? "no kernel headers" : false }, () => {
  const decided = new Set(seccompProfile("x64").syscalls.flatMap((rule) => rule.names));
  const all = [...readFileSync(header ?? "", "utf8").matchAll(/^#define __NR_(\w+)/gm)].map((match) => match[1] ?? "");
  // Left to ENOSYS: never implemented, or NUMA placement, which would move other guests' memory.
  const left = [
    "afs_syscall",
    "getpmsg",
    "putpmsg",
    "security",
    "tuxcall",
    "vserver",
    "get_mempolicy",
    "set_mempolicy",
    "set_mempolicy_home_node",
    "mbind",
    "move_pages",
    "migrate_pages",
    "modify_ldt",
  ];
  assert.deepEqual(
    all.filter((name) => !decided.has(name) && !left.includes(name)),
    [],
  );
});
