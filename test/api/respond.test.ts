import assert from "node:assert/strict";
import { openSync, readdirSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import type { Context } from "../../src/api/contract.ts";
import { withProgress } from "../../src/api/progress-lines.ts";
import { errorBodyOf } from "../../src/api/respond.ts";
import { NexusError } from "../../src/base/errors.ts";
import { silentLog } from "../../src/base/log.ts";
import { systemRefusal } from "../../src/base/system-error.ts";

const thrownBy = (action: () => unknown): unknown => {
  try {
    return action();
  } catch (error) {
    return error;
  }
};

test("a refused system call is told as the kernel's refusal with what to do, never as a defect", () => {
  const full = errorBodyOf(
    thrownBy(() => writeFileSync("/dev/full", "x")),
    silentLog,
  );
  assert.equal(full.code, "kernel-refused");
  assert.equal(full.message, "write: ENOSPC (no space left on device)");
  assert.match(full.hint ?? "", /free space/);
  assert.deepEqual(full.details, { op: "write", errno: "ENOSPC" });
  const absent = errorBodyOf(
    thrownBy(() => readdirSync("/no/such, place: here")),
    silentLog,
  );
  assert.equal(absent.message, "scandir /no/such, place: here: ENOENT (no such file or directory)");
  assert.match(
    errorBodyOf(Object.assign(new Error("EMFILE: too many open files, open '/x'"), { code: "EMFILE", syscall: "open" }), silentLog).hint ??
      "",
    /LimitNOFILE/,
  );
});

test("of several failures each is told in its own words", () => {
  const refused = thrownBy(() => openSync("/no/such", "r"));
  const body = errorBodyOf(
    new AggregateError([new TypeError("secret"), refused, new NexusError("in-use", "b is used")], "all failed"),
    silentLog,
  );
  assert.equal(body.code, "kernel-refused");
  assert.match(body.message, /^all failed\na defect, logged as .*\nopen \/no\/such: ENOENT .*\nb is used$/);
});

test("what is no system call's error stays a defect", () => {
  for (const error of [new TypeError("x"), Object.assign(new Error("x"), { code: "ERR_INVALID_ARG_TYPE" }), "text", undefined]) {
    assert.equal(systemRefusal(error), undefined);
    assert.equal(errorBodyOf(error, silentLog).code, "internal");
  }
});

test("progress that nobody reads is forgotten from its beginning; the result is not", async () => {
  let held = Promise.withResolvers<void>();
  const handler = async (_input: unknown, { progress }: Context) => {
    progress("first");
    await held.promise;
    for (let n = 0; n < 10_000; n++) progress(`line ${n}`);
    return "done";
  };
  const lines = withProgress(handler, undefined, {} as Context);
  assert.deepEqual((await lines.next()).value, { progress: "first" });
  held.resolve();
  await turn();
  const rest: unknown[] = [];
  for await (const line of lines) rest.push(line);
  assert.ok(rest.length <= 101, `${rest.length} lines were kept`);
  assert.deepEqual(rest.slice(-2), [{ progress: "line 9999" }, { result: "done" }]);
});
