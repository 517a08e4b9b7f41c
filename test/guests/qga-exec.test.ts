import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { after, before, describe, it } from "node:test";
import fc from "fast-check";
import { execByAgent } from "../../src/guests/qga-exec.ts";
import { GuestAgent } from "../../src/guests/qga.ts";
import { UntilMark } from "../../src/guests/until-mark.ts";
import { until } from "../kernel/world/until.ts";
import { fakeAgent } from "./fake-agent.ts";

describe("a command by the agent, on this machine's own shell", { timeout: 120_000 }, () => {
  const directory = mkdtempSync(join(tmpdir(), "nexus-exec-"));
  let agent: Awaited<ReturnType<typeof fakeAgent>>;
  before(async () => {
    agent = await fakeAgent(directory);
  });
  after(async () => {
    await agent[Symbol.asyncDispose]();
    rmSync(directory, { recursive: true });
  });

  async function run(script: string) {
    const opened = await GuestAgent.connect(directory, "agent", { timeoutMs: 30_000 });
    const ended = Promise.withResolvers<void>();
    const began = performance.now();
    const session = await execByAgent(opened, { command: ["sh", "-c", script], env: { D: directory } }, () => ended.resolve());
    session.stdin.end();
    const [out, err, code] = await Promise.all([text(session.stdout), text(session.stderr ?? Readable.from([])), session.exitCode]);
    const ms = performance.now() - began;
    await ended.promise;
    opened[Symbol.dispose]();
    return { out, err, code, ms };
  }

  function endChild(): void {
    const pid = Number(readFileSync(join(directory, "pid"), "utf8"));
    assert.ok(pid > 1, `pid ${pid}`);
    process.kill(pid);
  }

  it("ends with the command, whoever still holds its output, with all that was written before", async () => {
    let quickest = Number.POSITIVE_INFINITY;
    // Waiting for the sleeper would take all of them long; a busy machine only some.
    for (let i = 0; i < 5 && quickest > 3000; i++) {
      const { ms, ...said } = await run("sleep 300 & echo $! >$D/pid; head -c 300000 /dev/zero | tr '\\0' x; echo bad >&2; exit 7");
      endChild();
      assert.deepEqual({ ...said, out: said.out.length }, { out: 300_000, err: "bad\n", code: 7 });
      quickest = Math.min(quickest, ms);
    }
    assert.ok(quickest < 3000, `${Math.round(quickest)} ms`);
  });

  it("ends too when a process left behind writes on and on", async () => {
    const { out, code, ms } = await run("yes & echo $! >$D/pid; exit 3");
    try {
      assert.match(out, /^(y\n)*y?$/);
      assert.equal(code, 3);
      assert.ok(ms < 30_000, `${Math.round(ms)} ms`);
    } finally {
      try {
        endChild();
      } catch (error) {
        // Nobody reads it any more, which may have ended it.
        assert.equal((error as NodeJS.ErrnoException).code, "ESRCH");
      }
    }
  });

  it("has the output of one that closes it, writes the mark's letters, or is killed", async () => {
    assert.deepEqual({ ...(await run("echo said; exec >&- 2>&-; sleep 0.3; exit 4")), ms: 0 }, { out: "said\n", err: "", code: 4, ms: 0 });
    const { out } = await run("ps ax -o args | grep -c '[/]tmp/.nexus-exec'; printf '\\001/tmp/.nexus'");
    assert.ok(/^[1-9]\d*\n/.test(out) && out.endsWith("\n\u0001/tmp/.nexus"), JSON.stringify(out));
    assert.equal((await run("kill -9 $$")).code, 137);
    const left = () =>
      readdirSync("/tmp").filter((name) => name.startsWith(".") && agent.asked.some((one) => JSON.stringify(one).includes(`/tmp/${name}`)));
    await until("nothing is left in /tmp", () => left().length === 0);
  });
});

describe("UntilMark", () => {
  it("passes every byte before the mark, however it is cut, and none after it", () => {
    const mark = Buffer.from("\u0001aab\u0002");
    const bytes = fc.array(fc.constantFrom(1, 2, 97, 98), { maxLength: 30 }).map((all) => Buffer.from(all));
    const cuts = fc.array(fc.nat(40), { maxLength: 8 });
    fc.assert(
      fc.property(bytes, bytes, cuts, fc.boolean(), (said, later, places, isMarked) => {
        fc.pre(!Buffer.concat([said, mark]).subarray(0, -1).includes(mark));
        const whole = isMarked ? Buffer.concat([said, mark, later]) : said;
        const edges = [0, ...places.map((place) => Math.min(place, whole.length)).toSorted((a, b) => a - b), whole.length];
        const until = new UntilMark(mark);
        const passed = edges.slice(1).map((end, i) => until.take(whole.subarray(edges[i], end)));
        assert.deepEqual(Buffer.concat([...passed, until.rest()]), said);
        assert.equal(until.seen, isMarked);
      }),
    );
  });
});
