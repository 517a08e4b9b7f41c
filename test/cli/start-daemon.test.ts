import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { listensOn, startDaemon } from "../../src/cli/start-daemon.ts";
import { withoutRights } from "./without-rights.ts";
import type { NexusError } from "../../src/base/errors.ts";

const scratch = mkdtempSync(join(tmpdir(), "nexus-start-"));
after(() => rmSync(scratch, { recursive: true, force: true }));
const program = (code: string): [string, ...string[]] => [process.execPath, "-e", code, "--"];

describe("starting the daemon in the background", { timeout: 20_000 }, () => {
  it("returns when it serves its socket, and leaves it running", async () => {
    const socketPath = join(scratch, "a.sock");
    const serve =
      "const s = require('net').createServer((c) => c.on('data', () => process.exit(0)).on('error', () => {})); setTimeout(() => s.listen(process.argv[2]), 100)";
    await startDaemon({ socketPath, stateDir: scratch, args: [], command: program(serve) });
    assert.ok(await listensOn(socketPath));
    const { connect } = await import("node:net");
    connect(socketPath)
      .on("error", () => {})
      .write("end");
  });

  it("shows the last words of one that ends", async () => {
    const start = startDaemon({
      socketPath: join(scratch, "b.sock"),
      stateDir: scratch,
      args: [],
      command: program("console.error('no room'); process.exit(9)"),
    });
    await assert.rejects(
      start,
      (error: NexusError) =>
        error.code === "daemon-unreachable" &&
        /ended with code 9[\s\S]*no room/.test(error.message) &&
        /nexusd\.log/.test(error.hint ?? ""),
    );
  });

  it("shows nothing that an earlier one said", async () => {
    const stateDir = join(scratch, "earlier");
    mkdirSync(stateDir);
    writeFileSync(join(stateDir, "nexusd.log"), "an old complaint\n");
    const start = (code: string) => startDaemon({ socketPath: join(scratch, "e.sock"), stateDir, args: [], command: program(code) });
    await assert.rejects(start("console.error('a new one'); process.exit(9)"), (error: NexusError) => {
      assert.match(error.message, /a new one/);
      assert.doesNotMatch(error.message, /old/);
      return true;
    });
    await assert.rejects(start("process.exit(9)"), /^NexusError: nexusd ended with code 9$/);
  });

  it("makes the state directory as the daemon would: nobody else may look into it", async () => {
    const stateDir = join(scratch, "made");
    await assert.rejects(startDaemon({ socketPath: join(scratch, "m.sock"), stateDir, args: [], command: program("") }));
    assert.equal(statSync(stateDir).mode & 0o777, 0o700);
  });

  it("is refused, with what to do, to a user who may not write its log", async () => {
    const stateDir = join(scratch, "closed");
    mkdirSync(stateDir);
    const start = { socketPath: join(scratch, "n.sock"), stateDir, args: [], command: program("") };
    await assert.rejects(
      withoutRights(stateDir, () => startDaemon(start)),
      (error: NexusError) => error.code === "not-permitted" && /nexusd\.log/.test(error.message) && /sudo/.test(error.hint ?? ""),
    );
  });

  it("gives up on one that never answers", async () => {
    const start = startDaemon({
      socketPath: join(scratch, "c.sock"),
      stateDir: scratch,
      args: [],
      command: program("setTimeout(() => {}, 3000)"),
      deadlineMs: 200,
    });
    await assert.rejects(start, /did not open .*c\.sock in time/);
  });
});
