import { describe, test } from "node:test";
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { closeSync, openSync, readSync, writeSync } from "node:fs";
import { KernelError, NexusError } from "../../src/base/errors.ts";
import { Fd } from "../../src/sys/fd.ts";
import { isReadable, untilReadable, Watch } from "../../src/sys/poll.ts";
import { openPty } from "../../src/sys/pty.ts";

describe("watching a descriptor", () => {
  test("calls again as long as there is something to read, and promises made there go on at once", { timeout: 5000 }, async () => {
    using pair = openPty();
    const done = Promise.withResolvers<void>();
    let calls = 0;
    using watch = new Watch(pair.controller, () => {
      calls++;
      readSync(pair.controller.number, new Uint8Array(1));
      if (calls === 3) void Promise.resolve().then(() => done.resolve());
    });
    assert.equal(isReadable(pair.controller), false);
    writeSync(pair.peer.number, "abc");
    await done.promise;
    assert.equal(calls, 3);
    assert.ok(watch);
  });

  test("surfaces what the handler throws as an uncaught exception and goes on", () => {
    const script = `
      import { readSync, writeSync } from "node:fs";
      import { Watch } from ${JSON.stringify(new URL("../../src/sys/poll.ts", import.meta.url).href)};
      import { openPty } from ${JSON.stringify(new URL("../../src/sys/pty.ts", import.meta.url).href)};
      const pair = openPty();
      let calls = 0;
      const watch = new Watch(pair.controller, () => {
        readSync(pair.controller.number, new Uint8Array(1));
        if (++calls === 1) throw new Error("on purpose");
        console.log("second");
        watch[Symbol.dispose]();
      });
      process.on("uncaughtException", (error) => console.log(error.message));
      writeSync(pair.peer.number, "ab");`;
    assert.equal(
      execFileSync(process.execPath, ["--input-type=module", "-e", script], { encoding: "utf8", timeout: 10_000 }),
      "on purpose\nsecond\n",
    );
  });

  test("refuses what would abort the process: closed descriptors, files, and a second watch", () => {
    using pair = openPty();
    using _ = new Watch(pair.controller, () => {});
    assert.throws(() => new Watch(pair.controller, () => {}), NexusError);
    const file = openSync("/etc/hostname", "r");
    assert.throws(
      () => new Watch(file, () => {}),
      (error: unknown) => error instanceof KernelError && error.errno === "EPERM",
    );
    closeSync(file);
    assert.throws(
      () => new Watch(file, () => {}),
      (error: unknown) => error instanceof KernelError && error.errno === "EBADF",
    );
  });

  test("may end at any moment, also within the handler, and the descriptor can be watched anew", { timeout: 5000 }, async () => {
    using pair = openPty();
    for (let round = 0; round < 50; round++) {
      const called = Promise.withResolvers<void>();
      const watch = new Watch(pair.controller, () => {
        watch[Symbol.dispose]();
        watch[Symbol.dispose]();
        readSync(pair.controller.number, new Uint8Array(8));
        called.resolve();
      });
      writeSync(pair.peer.number, "x");
      await called.promise;
    }
    const never = new Watch(pair.controller, () => assert.fail("it was disposed"));
    writeSync(pair.peer.number, "x");
    never[Symbol.dispose]();
    await untilReadable(pair.controller);
    await assert.rejects(untilReadable(pair.controller, AbortSignal.abort(new RangeError("late"))), RangeError);
  });

  test("survives garbage collection and keeps the process alive unless told not to", () => {
    const script = (unref: string): string => `
      import { writeSync } from "node:fs";
      import { Watch } from ${JSON.stringify(new URL("../../src/sys/poll.ts", import.meta.url).href)};
      import { openPty } from ${JSON.stringify(new URL("../../src/sys/pty.ts", import.meta.url).href)};
      const pair = openPty();
      new Watch(pair.controller, () => { console.log("called"); process.exit(0); })${unref};
      setTimeout(() => { for (let i = 0; i < 5; i++) gc(); writeSync(pair.peer.number, "x"); }, 20)${unref};`;
    const run = (unref: string) =>
      spawnSync(process.execPath, ["--expose-gc", "--input-type=module", "-e", script(unref)], { encoding: "utf8", timeout: 10_000 });
    assert.equal(run("").stdout, "called\n");
    assert.equal(run(".unref()").stdout, "");
  });
});

describe("an Fd", () => {
  test("closes once, and tells who uses it afterwards", () => {
    const fd = new Fd(openSync("/dev/null", "r"));
    const { number } = fd;
    fd[Symbol.dispose]();
    const other = openSync("/dev/null", "r");
    assert.equal(other, number);
    fd[Symbol.dispose]();
    assert.equal(readSync(other, new Uint8Array(1)), 0);
    closeSync(other);
    assert.ok(fd.closed);
    assert.throws(() => fd.number, NexusError);
  });
});
