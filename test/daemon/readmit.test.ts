import assert from "node:assert/strict";
import { test } from "node:test";
import { NexusError, SpecError } from "../../src/base/errors.ts";
import { admit, type Admission } from "../../src/daemon/admit.ts";
import type { Machine } from "../../src/daemon/kinds.ts";
import { readmit } from "../../src/daemon/readmit.ts";
import { World } from "../../src/daemon/world.ts";
import { guestChange, type GuestChangeInput } from "../../src/spec/change.ts";
import { vmSpec, type VmSpecInput } from "../../src/spec/vm.ts";
import { network } from "../state/sample.ts";

const networks = ["lan", "dmz", "lab"].map((name, i) => network(name, 7 + i));

/** A machine that is there, and what it would be like with other networks or disks. */
function machine(spec: Omit<VmSpecInput, "name">) {
  const world = new World("0123456789abcdef0123456789abcdef", { networks, guests: [] });
  const at: Admission = { world, clock: { now: () => 1 }, remembered: () => undefined, listener: () => undefined };
  const { guest, claims } = admit({ kind: "vm", spec: vmSpec.parse({ name: "web", ...spec }) }, at);
  world.addGuest(guest, claims);
  const before = guest as Machine;
  const undo = new DisposableStack();
  const become = (change: GuestChangeInput) =>
    readmit({ ...before, spec: { ...before.spec, ...guestChange.parse(change) } as Machine["spec"] }, before, { at, undo });
  return { before, become, undo, world };
}
const on = (...names: string[]) => ({ networks: names.map((name) => ({ network: name })) });

test("cards that stay are as they were; new ones come behind them, with addresses that are given back when it comes to nothing", () => {
  const { before, become, undo, world } = machine(on("lan", "dmz"));
  const after = become(on("dmz", "lab"));
  assert.deepEqual(
    after.attachments.map(({ nic, network: name }) => `${nic} ${name}`),
    ["1 dmz", "2 lab"],
  );
  assert.deepEqual(after.attachments[0], before.attachments[1]);
  assert.equal(new Set([...before.attachments, ...after.attachments].map((a) => a.hostInterface)).size, 3);
  assert.deepEqual(
    after.leases.map(({ nic, address }) => `${nic} ${address}`),
    ["1 10.8.0.10", "2 10.9.0.10"],
  );
  const leased = () => world.pools.get(networks[2]?.name as never)?.[0]?.leased;
  assert.equal(leased(), 1);
  undo.dispose();
  assert.equal(leased(), 0);
});

test("another policy is no other card", () => {
  const { before, become } = machine(on("lan", "dmz"));
  const after = become({ networks: [{ network: "lan", egress: { mode: "none", allow: [] } }, { network: "dmz" }] });
  assert.deepEqual([after.attachments, after.leases], [before.attachments, before.leases]);
  assert.equal(after.spec.networks[0]?.egress?.mode, "none");
});

test("another address, place or kind of what stays is refused, and so is what no machine may have", () => {
  const disk = { name: "data", source: "/data", size: "1G" };
  const { become } = machine({ ...on("lan", "dmz"), disks: [disk] });
  const refuses = (change: GuestChangeInput, words: RegExp) =>
    assert.throws(
      () => become(change),
      (error: Error) => (error instanceof NexusError || error instanceof SpecError) && words.test(error.message),
    );
  refuses(on("dmz", "lan"), /stay as they are, before those that are new/);
  refuses(on("lab", "lan", "dmz"), /stay as they are/);
  refuses({ networks: [{ network: "lan", address: "10.7.0.99" }, { network: "dmz" }] }, /stay as they are/);
  refuses(on("lan", "dmz", "none"), /there is no network none/);
  refuses(on("lan", "dmz", "lab", "lab"), /named twice/);
  refuses({ disks: [{ ...disk, readOnly: true }] }, /disk data of web stays as it is/);
  refuses({ disks: [disk, { name: "data", source: "/other" }] }, /there twice/);
  assert.deepEqual(become({ disks: [] }).spec.disks, []);
});
