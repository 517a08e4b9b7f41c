import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { openState, temporaryDirectory } from "./sample.ts";

test(
  "after kill -9 in the middle of its work, every acknowledged change is there, and nothing by halves",
  { timeout: 60_000 },
  async () => {
    using directory = temporaryDirectory();
    const acknowledged = new Set<number>();
    const removed = new Set<number>();
    for (let round = 0; round < 6; round++) {
      for (const line of await runAndKill(directory.path, { start: 2 + round * 10_000, lines: 20 + 17 * round })) {
        const n = Number(line.slice(1));
        (line.startsWith("+") ? acknowledged : removed).add(n);
      }
      using state = openState(directory.path);
      const { guests } = state.load();
      const present = new Set(guests.map((guest) => guest.createdAt));
      for (const n of acknowledged) {
        // The last removal may have been committed and not yet printed.
        if (n % 3 !== 0) assert.ok(present.has(n), `guest ${n} was acknowledged and is gone`);
      }
      for (const n of removed) assert.ok(!present.has(n), `guest ${n} was removed and is back`);
      for (const guest of guests) {
        assert.deepEqual([guest.attachments.length, guest.leases.length, guest.publishes.length], [1, 1, 1], `${guest.id} is not whole`);
      }
      const created = state.events.last(100_000).length;
      assert.ok(created >= acknowledged.size && created <= acknowledged.size + round + 1, "an event belongs to each creation");
    }
    assert.ok(acknowledged.size >= 100);
  },
);

/** Complete lines the child printed before it was killed. */
async function runAndKill(directory: string, options: { start: number; lines: number }): Promise<string[]> {
  const child = spawn(process.execPath, [`${import.meta.dirname}/writer.ts`, directory, String(options.start)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let text = "";
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
    text += chunk;
    if (text.split("\n").length > options.lines) child.kill("SIGKILL");
  });
  await once(child, "close");
  assert.equal(child.signalCode, "SIGKILL");
  return text.split("\n").slice(0, -1);
}
