import assert from "node:assert/strict";
import { chownSync } from "node:fs";
import { describe, it } from "node:test";
import { unreachableError } from "../../src/api/client-errors.ts";
import { fakeDaemon } from "../api/fake-daemon.ts";
import { nexus } from "./command-line.ts";
import { withoutRights } from "./without-rights.ts";

describe("a daemon whose socket is closed to this user", () => {
  it("is opened by a group, which is to be made first when there was none", async (t) => {
    await using daemon = await fakeDaemon();
    const closed = () => unreachableError(Object.assign(new Error(), { code: "EACCES" }), daemon.socketPath).hint ?? "";
    if (process.getuid?.() !== 0) {
      assert.match(closed(), /join the group nexus/);
      return t.diagnostic("only root can give the socket to others");
    }
    chownSync(daemon.socketPath, 0, 0);
    assert.match(closed(), /groupadd nexus && .*restart the daemon/);
    chownSync(daemon.socketPath, 0, 12345);
    assert.doesNotMatch(closed(), /groupadd/);
  });

  it("is not said to be down, nor started a second time; what helps is named", async () => {
    await using daemon = await fakeDaemon({ version: async () => ({ version: "1", api: "v1", node: "v1" }) });
    const ask = async (...words: string[]) => {
      await nexus(daemon.socketPath, words);
      return withoutRights(daemon.socketPath, () => nexus(daemon.socketPath, words));
    };
    for (const words of [
      ["daemon", "status"],
      ["daemon", "start"],
      ["node", "ls"],
    ]) {
      const { code, stdout, stderr } = await ask(...words);
      assert.deepEqual([code, stdout], [1, ""], words.join(" "));
      assert.match(stderr, /closed to this user\n.*sudo.*group nexus/);
    }
    const json = await ask("daemon", "status", "--json");
    assert.equal((JSON.parse(json.stdout) as { error: { code: string } }).error.code, "not-permitted");
    const version = await ask("version");
    assert.equal(version.code, 0);
    assert.match(version.stdout, /nexusd: +the daemon's socket .* is closed to this user/);
    assert.match(version.stderr, /group nexus/);
  });
});
