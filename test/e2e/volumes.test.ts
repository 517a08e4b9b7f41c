import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { Bed } from "./recovery-bed.ts";

describe("volumes and further names of nodes", () => {
  let bed: Bed;
  const shared = mkdtempSync(join(tmpdir(), "nexus-volumes-"));

  before(async () => {
    bed = await Bed.make();
    assert.equal((await bed.nexus("network", "create", "lan")).code, 0);
  });
  after(async () => {
    await bed[Symbol.asyncDispose]();
    rmSync(shared, { recursive: true, force: true });
  });

  const done = async (...args: string[]): Promise<string> => {
    const { code, out, err } = await bed.nexus(...args);
    assert.equal(code, 0, `nexus ${args.join(" ")}: ${err}`);
    return out;
  };
  const create = (name: string, ...flags: string[]) => done("node", "create", name, "--network", "lan", ...flags, "--", "sleep", "1000");

  test("a volume is made when it is first named, shared, and outlives its nodes", async () => {
    await create("writer", "--volume", "data:/data");
    await create("reader", "--volume", "data:/mnt/data:ro");
    await done("node", "exec", "writer", "--", "sh", "-c", "echo kept >/data/file");
    assert.equal(await done("node", "exec", "reader", "--", "cat", "/mnt/data/file"), "kept\n");
    const { code, err } = await bed.nexus("node", "exec", "reader", "--", "touch", "/mnt/data/mine");
    assert.notEqual(code, 0);
    assert.match(err, /Read-only file system/);
    const inUse = await bed.refusal("volume", "rm", "data");
    assert.deepEqual([inUse.error.code, inUse.exit], ["in-use", 5]);
    assert.match(inUse.error.message, /writer, reader/);

    await done("node", "rm", "writer", "reader", "--force");
    const [volume] = JSON.parse(await done("volume", "ls", "--json")) as { name: string; kind: string; path: string; usedBy: string[] }[];
    assert.deepEqual([volume?.name, volume?.kind, volume?.usedBy], ["data", "directory", []]);
    assert.equal(readFileSync(join(volume?.path ?? "", "file"), "utf8"), "kept\n");
    await done("volume", "rm", "data");
    assert.equal(existsSync(volume?.path ?? ""), false);
    assert.equal((await bed.refusal("volume", "rm", "data")).error.code, "not-found");
  });

  test("part of the host is shown as it is, and nothing above it", async () => {
    writeFileSync(join(shared, "here"), "from the host\n");
    symlinkSync("/etc/hostname", join(shared, "way-out"));
    await create("guest", "--volume", `${shared}:/host:ro`);
    assert.equal(await done("node", "exec", "guest", "--", "cat", "/host/here"), "from the host\n");
    // A link is followed inside the node, where it leads to the node's own file.
    assert.equal(await done("node", "exec", "guest", "--", "cat", "/host/way-out"), "guest\n");
    assert.equal((await bed.nexus("node", "exec", "guest", "--", "ls", "/host/../host/../root")).code, 0);
    await done("node", "rm", "guest", "--force");
    assert.equal(readFileSync(join(shared, "here"), "utf8"), "from the host\n");
  });

  test("a path that is not there, and a place that cannot be one, are refused, and nothing is left", async () => {
    const absent = await bed.refusal("node", "create", "lost", "--volume", "/no/such/place:/x");
    assert.deepEqual([absent.error.code, absent.exit], ["not-found", 4]);
    assert.match(absent.error.message, /\/no\/such\/place/);
    for (const text of ["data", "data:x", "data:/x:rx", ":/x", "data:/"]) {
      const wrong = await bed.refusal("node", "create", "lost", "--volume", text);
      assert.equal(wrong.exit, 2, `${text}: ${wrong.error.message}`);
    }
    assert.equal((await bed.refusal("node", "inspect", "lost")).error.code, "not-found");
    await bed.allIsWell();
  });

  test("a further name resolves, and a shared one to all who have it", async () => {
    await create("one", "--alias", "www");
    await create("two", "--alias", "www");
    await create("asker");
    const answer = await done("node", "exec", "asker", "--", "nslookup", "www.lan.nexus");
    for (const name of ["one", "two"]) {
      const address = (await bed.node(name)).attachments[0]?.addresses[0]?.split("/")[0] ?? "";
      assert.ok(answer.includes(address), `${address} is not in ${answer}`);
    }
    await done("node", "stop", "two", "--grace", "0");
    const after = await done("node", "exec", "asker", "--", "nslookup", "www.lan.nexus");
    const gone = (await bed.node("two")).attachments[0]?.addresses[0]?.split("/")[0] ?? "";
    assert.equal(after.includes(`: ${gone}\n`), false, after);
    await done("node", "rm", "one", "two", "asker", "--force");
    await bed.allIsWell();
  });
});
