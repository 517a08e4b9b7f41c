import assert from "node:assert/strict";
import { test } from "node:test";
import { invocation } from "../../src/cli/quickstart/invocation.ts";
import { type Caller, checkRights } from "../../src/cli/quickstart/rights.ts";
import { NexusError } from "../../src/base/errors.ts";

const root: Caller = { platform: "linux", uid: 0, status: "Name:\tnode\nCapEff:\t000001ffffffffff\n", sudo: true };
const again = "./nexus quickstart --yes";

test("root with every capability may go on", () => {
  assert.doesNotThrow(() => checkRights(root, again));
});

test("a user is told the command that works, with sudo or without", () => {
  assert.deepEqual(refusal({ ...root, uid: 1000 }), { code: "not-permitted", hint: "run: sudo ./nexus quickstart --yes" });
  assert.deepEqual(refusal({ ...root, uid: 1000, sudo: false }), { code: "not-permitted", hint: "run: su -c './nexus quickstart --yes'" });
});

test("root without a needed capability is told which one", () => {
  const without = (bits: bigint) => ({ ...root, status: `CapEff:\t${(0x1ffffffffffn & ~bits).toString(16).padStart(16, "0")}\n` });
  assert.match(message(without(1n << 12n)), /^CAP_NET_ADMIN is missing/);
  assert.match(message(without(1n << 21n)), /^CAP_SYS_ADMIN is missing/);
  assert.match(message(without((1n << 12n) | (1n << 21n))), /^CAP_NET_ADMIN and CAP_SYS_ADMIN are missing/);
  assert.match(message({ ...root, status: "" }), /are missing/);
});

test("another system is refused by name", () => {
  assert.match(message({ ...root, platform: "darwin", status: "" }), /needs Linux, and this is darwin/);
});

test("the command to type is relative where that works and quoted where it must be", () => {
  const here = invocation(["quickstart"], `${import.meta.dirname}/../..`);
  assert.equal(here, "./nexus quickstart");
  assert.match(invocation(["node", "exec", "web", "it's here"], "/"), /^\.\/.*nexus node exec web 'it'\\''s here'$/);
  assert.match(invocation(["quickstart"], "/usr/share"), /^\/.*\/nexus quickstart$/);
});

function refusal(caller: Caller): { code: string; hint: string | undefined } {
  const error = thrown(caller);
  return { code: error.code, hint: error.hint };
}

function message(caller: Caller): string {
  return thrown(caller).message;
}

function thrown(caller: Caller): NexusError {
  try {
    checkRights(caller, again);
  } catch (error) {
    if (error instanceof NexusError) return error;
    throw error;
  }
  return assert.fail("it was not refused");
}
