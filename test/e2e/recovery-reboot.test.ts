import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { GuestView, NetworkView } from "../../src/spec/views.ts";
import { sh } from "../chaos/host.ts";
import { until } from "../kernel/world/until.ts";
import { Bed } from "./recovery-bed.ts";
import { reboot } from "./reboot.ts";

const port = 28180;
const page = "mkdir -p /w && echo up >/w/index.html && exec httpd -f -p 80 -h /w";

describe("after the machine started anew", { timeout: 180_000 }, () => {
  let bed: Bed;
  let before_: { networks: NetworkView[]; guests: GuestView[] };
  before(async () => {
    bed = await Bed.make();
    for (const args of [
      ["network", "create", "lan", "--subnet", "10.61.0.0/24", "--ipv6"],
      ["network", "create", "auto", "--peer", "lan"],
      ["attachment", "create", "plain", "--network", "auto", "--publish", "28181:81"],
      ["attachment", "create", "gone", "--network", "lan"],
      ["node", "create", "always", "--network", "lan:10.61.0.77", "--restart", "always", "--publish", `${port}:80`, "--", "sh", "-c", page],
      ["node", "create", "unless", "--network", "auto", "--restart", "unless-stopped", "--", "sleep", "10000"],
      ["node", "create", "once", "--network", "lan", "--", "sleep", "10000"],
      ["node", "create", "rested", "--network", "lan", "--restart", "unless-stopped", "--", "sleep", "10000"],
      ["node", "stop", "rested", "-t", "0"],
    ]) {
      const { code, err } = await bed.nexus(...args);
      assert.equal(code, 0, `${args.join(" ")}: ${err}`);
    }
    before_ = await views(bed);
    const { code } = await bed.nexus("attachment", "rm", "gone");
    assert.equal(code, 0);
    await reboot(bed.daemon);
  });
  after(async () => {
    await bed[Symbol.asyncDispose]();
  });

  test("networks have the subnets, gateways and bridges they had", async () => {
    const { networks } = await views(bed);
    const kept = (n: NetworkView) => [n.name, n.bridge, n.mac, n.subnets.map((s) => [s.prefix, s.gateway]), n.peers];
    assert.deepEqual(networks.map(kept), before_.networks.map(kept));
  });

  test("attachments have the addresses, MACs and published ports they had", async () => {
    const { guests } = await views(bed);
    const kept = (g: GuestView | undefined) => [g?.attachments.map((a) => [a.network, a.mac, a.addresses, a.gateways]), g?.publish];
    for (const name of ["plain", "always", "unless", "once", "rested"])
      assert.deepEqual(kept(guests.find((g) => g.name === name)), kept(before_.guests.find((g) => g.name === name)), name);
  });

  test("nodes with restart always and unless-stopped run again and answer on their ports", async () => {
    for (const name of ["always", "unless"]) await bed.nodeIs(name, (n) => n.state === "running");
    await until(
      "the page is served",
      async () =>
        (await fetch(`http://127.0.0.1:${port}/`).then(
          (r) => r.text(),
          () => "",
        )) === "up\n",
    );
  });

  test("a node without a restart policy is exited, and says that the host restarted", async () => {
    const once = await bed.node("once");
    assert.equal(once.state, "exited");
    assert.match(JSON.stringify(once.exit), /the host restarted/);
  });

  test("a node its user stopped stays stopped with unless-stopped", async () => {
    assert.equal((await bed.node("rested")).state, "stopped");
  });

  test("an address goes back to whoever had it", async () => {
    const { code, err } = await bed.nexus("attachment", "create", "gone", "--network", "lan");
    assert.equal(code, 0, err);
    const had = before_.guests.find((g) => g.name === "gone");
    const has = await bed.client.call("attachment.get", { params: { name: "gone" } });
    assert.deepEqual(
      has.attachments.map((a) => a.addresses),
      had?.attachments.map((a) => a.addresses),
    );
  });

  test("everything on the host is as the daemon says", async () => {
    await bed.allIsWell();
  });

  test("with all removed, nothing is left", async () => {
    await bed.client.call("network.reset", { query: { force: true } });
    await bed.allIsWell();
    assert.equal((await sh("nft", "list", "tables")).trim(), "");
  });
});

async function views(bed: Bed): Promise<{ networks: NetworkView[]; guests: GuestView[] }> {
  const [networks, guests] = await Promise.all([bed.client.call("network.list"), bed.client.call("guest.list")]);
  return { networks, guests };
}
