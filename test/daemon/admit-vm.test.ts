import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type ErrorCode, NexusError, SpecError } from "../../src/base/errors.ts";
import { admit } from "../../src/daemon/admit.ts";
import { World } from "../../src/daemon/world.ts";
import { hostMac } from "../../src/plan/attachment.ts";
import { vmSpec, type VmSpecInput } from "../../src/spec/vm.ts";
import type { GuestRecord } from "../../src/state/rows.ts";
import { network } from "../state/sample.ts";

const lan = network("lan", 7);
const dmz = network("dmz", 8);

/** A daemon's world with two networks, in which virtual machines ask to be let in. */
class Door {
  readonly world = new World("0123456789abcdef0123456789abcdef", { networks: [lan, dmz], guests: [] });

  ask(spec: VmSpecInput): GuestRecord {
    const newcomer = { kind: "vm" as const, spec: vmSpec.parse(spec) };
    const { guest, claims } = admit(newcomer, {
      world: this.world,
      clock: { now: () => 1 },
      remembered: () => undefined,
      listener: () => undefined,
    });
    this.world.addGuest(guest, claims);
    return guest;
  }

  leave(guest: GuestRecord): void {
    this.world.removeGuest(guest);
    this.world.thaw(guest.leases);
  }
}

const on = (name: string, networks: string[], mac?: string): VmSpecInput => ({
  name,
  networks: networks.map((one) => ({ network: one, ...(mac === undefined ? {} : { mac }) })),
});
const mac = "02:00:5e:10:00:01";

describe("a virtual machine asks to be let in", () => {
  test("without a network: it has no card on any, no address, and its ports are still its own", () => {
    const door = new Door();
    const publish = [{ hostPort: 8080, guestPort: 80 }];
    const { attachments, leases } = door.ask({ name: "alone", publish });
    assert.deepEqual([attachments, leases], [[], []]);
    refused(() => door.ask({ name: "other", publish }), "port-taken", /8080/);
    refusedSpec(() => door.ask({ name: "six", publish: [{ hostPort: 8081, guestPort: 80, hostAddress: "::1" }] }), /cannot listen on ::1/);
  });

  test("on networks: an address of the range for DHCP on each, and a MAC nobody else has", () => {
    const door = new Door();
    const guests = ["a", "b", "c"].map((name) => door.ask(on(name, ["lan", "dmz"])));
    assert.deepEqual(
      guests.flatMap((guest) => guest.leases.map((lease) => lease.address)),
      ["10.7.0.10", "10.8.0.10", "10.7.0.11", "10.8.0.11", "10.7.0.12", "10.8.0.12"],
    );
    const macs = guests.flatMap((guest) => guest.attachments.map((a) => a.mac));
    assert.equal(new Set(macs).size, 6);
    assert.ok(
      macs.every((one) => (Number.parseInt(one, 16) & 3) === 2),
      "unicast and of local making",
    );
  });

  test("with a MAC of its own: it has that one, and nobody else gets it on any network until it is gone", () => {
    const door = new Door();
    const first = door.ask(on("first", ["lan"], mac));
    assert.equal(first.attachments[0]?.mac, mac);
    for (const network of ["lan", "dmz"])
      refused(() => door.ask(on("second", [network], mac)), "address-taken", /02:00:5e:10:00:01 is not free: guest first has it/);
    door.leave(first);
    assert.equal(door.ask(on("second", ["dmz"], mac)).attachments[0]?.mac, mac);
  });

  test("with one MAC for two of its cards, a gateway's, or that of a link's other end: refused, and nothing is kept", () => {
    const door = new Door();
    refused(() => door.ask(on("twice", ["lan", "dmz"], mac)), "address-taken", /another card of twice/);
    refused(() => door.ask(on("gate", ["lan"], lan.mac)), "address-taken", /the gateway of network lan/);
    const there = door.ask(on("there", ["lan"], mac));
    const [card] = there.attachments;
    refused(() => door.ask(on("end", ["lan"], hostMac(card ?? assert.fail()))), "address-taken", /guest there/);
    assert.deepEqual(door.ask(on("next", ["lan"])).leases[0]?.address, "10.7.0.11");
  });

  test("with a MAC that no card can have: it is said which field", () => {
    for (const bad of ["01:00:5e:00:00:01", "ff:ff:ff:ff:ff:ff", "00:00:00:00:00:00", "02:00:5e"]) {
      const { success, error } = vmSpec.safeParse(on("bad", ["lan"], bad));
      assert.deepEqual([success, error?.issues[0]?.path], [false, ["networks", 0, "mac"]], bad);
    }
  });

  test("on a network that is not there, or twice on one: refused", () => {
    const door = new Door();
    refused(() => door.ask(on("lost", ["nowhere"])), "not-found", /no network nowhere/);
    refusedSpec(() => door.ask(on("twice", ["lan", "lan"])), /named twice/);
  });
});

function refused(work: () => unknown, code: ErrorCode, words: RegExp): void {
  assert.throws(work, (error) => {
    assert.ok(error instanceof NexusError, String(error));
    assert.equal(error.code, code);
    assert.match(error.message, words);
    return true;
  });
}

function refusedSpec(work: () => unknown, words: RegExp): void {
  assert.throws(work, (error) => error instanceof SpecError && words.test(error.message));
}
