import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { readProcessStat } from "../../src/kernel/processes.ts";
import { until } from "../kernel/world/until.ts";
import { runTool } from "../../src/facilities/tool.ts";

const sh = (script: string, o: Partial<Parameters<typeof runTool>[2]> = {}) =>
  runTool("/bin/sh", ["-c", script], { what: "try it", deadlineMs: 30_000, ...o });

describe("a program that is run", { timeout: 60_000 }, () => {
  it("has the environment it is given and no other", async () => {
    const { output } = await sh("env | grep -v -E '^(PWD|OLDPWD|SHLVL|_)='", { env: { A: "b" } });
    assert.equal(output.toString(), "A=b\n");
  });

  it("gets a secret on a descriptor, not among its words or in its environment", async () => {
    const { output } = await sh("cat <&3; tr '\\0' ' ' </proc/$$/cmdline; env", { secret: "password=s3cret\n" });
    assert.equal(output.toString().split("s3cret").length, 2);
  });

  it("that fails is told with its last words, without what shows progress or rules a terminal", async () => {
    await assert.rejects(sh("printf 'Receiving: 10%%\\rReceiving: 20%%\\n' >&2; printf 'it is \\033[31mbad\\n' >&2; exit 3"), {
      code: "runtime-failed",
      message: "cannot try it: it is \u{fffd}[31mbad",
    });
    assert.equal((await sh("exit 3", { failures: "answer" })).code, 3);
  });

  it("is ended with its children when it takes too long or nobody wants it any more", async () => {
    const directory = mkdtempSync(join(tmpdir(), "nexus-tool-"));
    const script = `sleep 1000 & echo $! >${directory}/child; echo begun >&2; wait`;
    // One that has ended and that nobody has asked about yet is gone as well.
    const isGone = () =>
      until("the child is gone", async () => {
        const pid = Number(readFileSync(join(directory, "child"), "utf8"));
        return ["Z", undefined].includes(readProcessStat(pid)?.state);
      });
    try {
      await assert.rejects(sh(script, { deadlineMs: 1500 }), { code: "timeout" });
      await isGone();
      const stop = new AbortController();
      await assert.rejects(sh(script, { signal: stop.signal, onLine: () => stop.abort(new Error("enough")) }), /enough/);
      await isGone();
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  });

  it("that writes more than is wanted is ended, and what was wanted is there", async () => {
    const { output, cut } = await sh("yes", { outputBytes: 1000 });
    assert.deepEqual([output.length, cut], [1000, true]);
  });

  it("that reads no further is no failure of ours, and an input that fails ends it", async () => {
    const endless = async function* () {
      for (;;) yield Buffer.alloc(65_536);
    };
    assert.equal((await sh("head -c 10 >/dev/null", { input: endless() })).code, 0);
    const failing = async function* () {
      yield Buffer.from("x");
      throw new Error("no more");
    };
    await assert.rejects(sh("cat >/dev/null", { input: failing() }), /no more/);
  });
});
