import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { after, before, describe, test } from "node:test";
import { NexusError } from "../../src/base/errors.ts";
import type { Name } from "../../src/base/names.ts";
import { namespaceExists } from "../../src/kernel/namespaces.ts";
import { Nexusd } from "./world/nexusd.ts";
import { until } from "./world/until.ts";

const name = "again" as Name;
const body = { name, networks: [{ network: "lan" as Name }], publish: [] };

test("connections of a guest removed just before a crash are forgotten before its address is another's", async () => {
  await using daemon = await Nexusd.start();
  await daemon.client.call("network.create", { body: { name: "lan", subnets: ["10.31.0.0/24"] } });
  for (const one of ["stays", "goes"]) await daemon.client.call("attachment.create", { body: { ...body, name: one } });
  await daemon.client.call("attachment.remove", { params: { name: "goes" } });
  const connect = (from: string) =>
    execFileSync("conntrack", `-I -p tcp -s ${from} -d 192.0.2.1 --sport 5000 --dport 80 --timeout 100 --state ESTABLISHED`.split(" "));
  await daemon.crashAndStart(() => {
    connect("10.31.0.2");
    connect("10.31.0.3");
  });
  const left = execFileSync("conntrack", ["-L"], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
  assert.match(left, /src=10\.31\.0\.2 /);
  assert.doesNotMatch(left, /src=10\.31\.0\.3 /);
});

describe("an attachment that is asked for while its predecessor goes", () => {
  let daemon: Nexusd;
  before(async () => {
    daemon = await Nexusd.start();
    await daemon.client.call("network.create", { body: { name: "lan" } });
    await daemon.client.call("attachment.create", { body });
  });
  after(() => daemon[Symbol.asyncDispose]());

  test("waits for the end of it, and is whole", async () => {
    const askedUntilMade = async (): Promise<void> => {
      for (;;) {
        try {
          return void (await daemon.client.call("attachment.create", { body }));
        } catch (error) {
          // The removal may not have come to its turn yet; nothing of it may ever be in the way.
          assert.ok(error instanceof NexusError && error.message === "a guest named again exists already", String(error));
        }
      }
    };
    for (let round = 0; round < 25; round++) {
      await Promise.all([daemon.client.call("attachment.remove", { params: { name } }), askedUntilMade()]);
      assert.ok(namespaceExists(`nexus-${name}`));
    }
    // Links of the old ones go in the kernel's own time.
    await until("nothing being left to do", async () => (await daemon.client.call("plan.pending")).steps.length === 0, 10_000);
  });
});
