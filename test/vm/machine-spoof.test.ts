import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { GuestView } from "../../src/spec/views.ts";
import * as host from "../chaos/host.ts";
import { Place } from "../kernel/world/place.ts";
import { framesOf, trySending } from "../kernel/world/spoofing.ts";
import { setBridgeNetfilter } from "../kernel/world/topology.ts";
import { until } from "../kernel/world/until.ts";
import { MachineBed } from "./machine-bed.ts";
import { useStandIn } from "./stand-in.ts";

describe("a virtual machine sends only what it may", { timeout: 120_000 }, () => {
  let bed: MachineBed;
  const places: Place[] = [];
  after(async () => {
    for (const place of places) await place[Symbol.asyncDispose]();
    await bed[Symbol.asyncDispose]();
  });
  before(async () => {
    await useStandIn();
    bed = await MachineBed.make();
    await bed.must("network", "create", "lan", "--subnet", "10.75.0.0/24", "--ipv6");
  });
  const ends = (guest: GuestView) => {
    const card = guest.attachments[0] ?? assert.fail();
    const address = (six: boolean) => card.addresses.find((a) => a.includes(":") === six)?.split("/")[0] ?? assert.fail();
    return { mac: card.mac, 4: address(false), 6: address(true) };
  };

  test("forged frames on its tap are dropped, each by its rule, and honest ones pass", async () => {
    await host.sh("ip", "netns", "add", "vm-web");
    const web = await bed.create({ name: "web", networks: [{ network: "lan" }] });
    const app = await bed.client.call("attachment.create", { body: { name: "app", networks: [{ network: "lan" }] } });
    await until("it has its card", () => host.shTry("ip", "-n", "vm-web", "link", "show", "dev", "eth0", "up"));
    const [from, to] = [new Place("web", "/run/netns/vm-web"), new Place("app", app.netns)];
    places.push(from, to);
    await to.sniff("eth0");
    const { subnets } = await bed.client.call("network.get", { params: { name: "lan" } });
    const [four, six] = subnets.map((subnet) => subnet.gateway);
    const frames = framesOf({ web: ends(web), app: ends(app), gateway: { 4: four ?? "", 6: six ?? "" } });
    for (const bridgeNetfilter of [0, 1] as const) {
      setBridgeNetfilter(bridgeNetfilter);
      const wrong = await trySending(frames, from, to);
      assert.equal(wrong.length, 0, `bridge-nf-call ${bridgeNetfilter}: ${wrong.join("\n")}`);
    }
  });
});
