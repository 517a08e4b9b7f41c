import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { openClient } from "../../src/api/client.ts";
import { NexusError } from "../../src/base/errors.ts";
import { runCommand } from "../../src/mcp/run-command.ts";
import { fakeDaemon, fakeSession } from "../api/fake-daemon.ts";

describe("run_command", { timeout: 60_000 }, () => {
  it("hangs up when the assistant gives up, so that the command hears of it", async () => {
    const heard = Promise.withResolvers<string>();
    const gone = new AbortController();
    await using daemon = await fakeDaemon({
      "guest.exec": async () =>
        fakeSession(async ({ stdout, signalled }) => {
          stdout.write("begun");
          setImmediate(() => gone.abort());
          heard.resolve(await signalled);
          return 1;
        }),
    });
    const client = openClient(daemon.socketPath);
    const called = runCommand.call(client, { guest: "web", command: "sleep 1000" }, gone.signal);
    await assert.rejects(called, { name: "AbortError" });
    assert.equal(await heard.promise, "SIGHUP");
    await assert.rejects(runCommand.call(client, { guest: "web", command: "x" }, gone.signal), { name: "AbortError" }, "before it began");
    client.close();
  });

  it("waits no longer than it was told, even for a command that cannot be killed, and tells what it had said", async () => {
    const end = Promise.withResolvers<number>();
    await using daemon = await fakeDaemon({
      "guest.exec": async () =>
        fakeSession(({ stdout }) => {
          stdout.write("begun\n");
          return end.promise;
        }),
    });
    const client = openClient(daemon.socketPath);
    const called = runCommand.call(client, { guest: "web", command: ["stuck"], timeout: 0.2 }, new AbortController().signal);
    await assert.rejects(called, (error: NexusError) => error.code === "timeout" && error.details?.["stdout"] === "begun\n");
    end.resolve(0);
    client.close();
  });

  it("gives what the guest refused as it was refused", async () => {
    await using daemon = await fakeDaemon({
      "guest.exec": async () => {
        throw new NexusError("wrong-state", "web is stopped", { hint: "start it" });
      },
    });
    const client = openClient(daemon.socketPath);
    const called = runCommand.call(client, { guest: "web", command: "true" }, new AbortController().signal);
    await assert.rejects(called, (error: NexusError) => error.code === "wrong-state" && error.hint === "start it");
    client.close();
  });
});
