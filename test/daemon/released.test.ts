import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Ip } from "../../src/base/ip.ts";
import { admit } from "../../src/daemon/admit.ts";
import { Released } from "../../src/daemon/released.ts";
import { World } from "../../src/daemon/world.ts";
import { attachmentSpec } from "../../src/spec/node.ts";
import type { GuestRecord } from "../../src/state/rows.ts";
import { network } from "../state/sample.ts";

const lan = network("lan", 7);

/** Guests that come and go, as far as their addresses go. */
class House {
  readonly world = new World("0123456789abcdef0123456789abcdef", { networks: [lan], guests: [] });
  readonly forgotten: string[] = [];
  readonly released = new Released(this.world, (prefixes) => this.forgotten.push(...prefixes));

  enter(name: string, remembered?: Ip): GuestRecord {
    const spec = attachmentSpec.parse({ name, networks: [{ network: "lan" }] });
    const at = { world: this.world, clock: { now: () => 1 }, remembered: () => remembered, listener: () => undefined };
    const { guest, claims } = admit({ kind: "netns", spec }, at);
    this.world.addGuest(guest, claims);
    return guest;
  }

  leave(guest: GuestRecord): void {
    this.world.removeGuest(guest);
    this.released.add(guest.leases);
  }
}

describe("the address of a removed guest", () => {
  test("is nobody else's until its connections are forgotten", () => {
    const house = new House();
    house.leave(house.enter("first"));
    assert.equal(addressOf(house.enter("second")), "10.7.0.3");
    assert.ok(house.released.free());
    assert.deepEqual(house.forgotten, ["10.7.0.2/32"]);
    assert.equal(addressOf(house.enter("third")), "10.7.0.2");
    assert.ok(!house.released.free(), "nothing is left to wait for");
  });

  test("may be had again by a guest of that name, whose connections stay", () => {
    const house = new House();
    const first = house.enter("first");
    house.leave(first);
    assert.equal(addressOf(house.enter("first", addressOf(first))), "10.7.0.2");
    assert.ok(!house.released.free());
    assert.deepEqual(house.forgotten, []);
    assert.equal(addressOf(house.enter("second")), "10.7.0.3");
  });

  test("has its connections forgotten also when its network went with it", () => {
    const house = new House();
    house.leave(house.enter("first"));
    house.world.removeNetwork(lan.name);
    house.released.free();
    assert.deepEqual(house.forgotten, ["10.7.0.2/32"]);
  });
});

function addressOf(guest: GuestRecord): Ip | undefined {
  return guest.leases[0]?.address;
}
