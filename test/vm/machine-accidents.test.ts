import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import * as host from "../chaos/host.ts";
import { until } from "../kernel/world/until.ts";
import { MachineBed } from "./machine-bed.ts";

describe("accidents of virtual machines on networks", { timeout: 240_000 }, () => {
  let bed: MachineBed;
  before(async () => {
    bed = await MachineBed.make();
    await bed.must("network", "create", "lan", "--subnet", "10.71.0.0/24", "--ipv6");
    await bed.create({ name: "web", networks: [{ network: "lan" }] });
    await bed.ready("web");
  });
  after(async () => {
    await bed[Symbol.asyncDispose]();
  });
  const tapOf = async (name: string) => (await bed.vm(name)).attachments[0]?.hostInterface ?? assert.fail(name);
  const addressOf = async (name: string) => (await bed.vm(name)).attachments[0]?.addresses[0]?.split("/")[0] ?? assert.fail(name);

  test("its tap deleted by somebody: it is put back under the same machine, and said", async () => {
    const { pid } = await bed.vm("web");
    const tap = await tapOf("web");
    const last = (await bed.daemon.eventsSince(0)).at(-1)?.id ?? 0;
    await host.sh("ip", "link", "del", tap);
    await until("it is told", async () => (await bed.daemon.eventsSince(last)).some((event) => event.kind === "repaired"), 10_000);
    await host.sh("ping", "-n", "-c", "2", "-W", "5", await addressOf("web"));
    await bed.allIsWell();
    assert.equal((await bed.vm("web")).pid, pid);
  });
});
