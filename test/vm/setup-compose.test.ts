import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { ProjectBed } from "../e2e/compose-bed.ts";
import { MachineBed } from "./machine-bed.ts";

const file = `
name: shop
vms:
  db:
    memory: 128
    environment: { WORD: hello }
    volumes: ["data:/data"]
    provision:
      - inline: sleep 2; echo "$$WORD" >/data/word
  web:
    memory: 128
    depends_on: [db]
    provision: [{ type: file, target: /etc/motd, content: "hi\\n" }]
volumes: { data: { size: 64M } }
`;

describe("a project whose virtual machines are set up", { timeout: 300_000 }, () => {
  let bed: MachineBed;
  before(async () => {
    bed = await MachineBed.make();
  });
  after(async () => await bed[Symbol.asyncDispose]());

  it("comes up in order, each when those it needs are done; a change makes anew, and a failure is told", async () => {
    using project = new ProjectBed(bed, "shop");
    const run = async (...args: string[]) => {
      const said = await project.run(...args);
      assert.equal(said.code, 0, `nexus ${args.join(" ")}: ${said.err}`);
      return said;
    };
    project.write("nexus-compose.yaml", file);
    await run("up", "--wait");
    const [db, web] = [await bed.vm("shop-db"), await bed.vm("shop-web")];
    assert.deepEqual([db.setup, web.setup], [{ state: "done" }, { state: "done" }]);
    const ready = (await bed.daemon.eventsSince(0)).filter(({ kind }) => kind === "vm.ready" || kind === "vm.created");
    assert.deepEqual(
      ready.map(({ kind, subject }) => `${kind} ${subject}`),
      ["vm.created shop-db", "vm.ready shop-db", "vm.created shop-web", "vm.ready shop-web"],
    );
    assert.equal((await run("exec", "db", "cat", "/data/word")).out, "hello\n");
    assert.match((await run("up")).out, /^shop is as its file says\n/);

    project.write("nexus-compose.yaml", file.replace("sleep 2; echo", "cat /data/word; echo no more; false #"));
    const failed = await project.run("up", "--wait", "db");
    assert.equal(failed.code, 5, failed.err);
    assert.match(failed.err, /recreate shop-db: changed: what it is set up with/);
    assert.match(failed.err, /shop-db will not be started: .*set-up failed: step 1 of 1 with code 1: no more/);
    await run("down", "-v");
    await bed.allIsWell();
  });
});
