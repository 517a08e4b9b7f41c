import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { macToBytes } from "../../src/base/mac.ts";
import { isFault, type Name, parseIfName, parseName } from "../../src/base/names.ts";
import { altName, bridgeMac, bridgeName, hostInterfaceName, netnsName, nicMac } from "../../src/plan/naming.ts";

const anyName = fc.stringMatching(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/).map((text) => name(text));

test("a short network's bridge carries its name, a long one's part of it and a hash", () => {
  assert.equal(bridgeName(name("blue")), "nx-blue");
  assert.equal(bridgeName(name("twelve-chars")), "nx-twelve-chars");
  assert.match(bridgeName(name("thirteenchars")), /^nx-thirte-[a-z2-7]{5}$/);
  assert.match(bridgeName(name("abcde-fghijklmnop")), /^nx-abcde-[a-z2-7]{5}$/);
  assert.notEqual(bridgeName(name("project-one-backend")), bridgeName(name("project-one-frontend")));
});

test("a bridge name in use gives way to the next one, the same each time", () => {
  const busy = new Set(["nx-blue"]);
  const second = bridgeName(name("blue"), (text) => busy.has(text));
  assert.match(second, /^nx-blue-[a-z2-7]{5}$/);
  busy.add(second);
  const third = bridgeName(name("blue"), (text) => busy.has(text));
  assert.ok(third !== second && third === bridgeName(name("blue"), (text) => busy.has(text)));
});

test("names of interfaces are valid, at most 15 bytes, without a dash at the end, and the same each time", () => {
  fc.assert(
    fc.property(anyName, fc.string(), fc.nat(15), fc.nat(), (guest, id, index, epoch) => {
      for (const made of [bridgeName(guest), hostInterfaceName({ id, guest, index }, epoch)]) {
        assert.ok(!isFault(parseIfName(made)) && made.length <= 15 && !made.endsWith("-"), made);
      }
      assert.equal(hostInterfaceName({ id, guest, index }, epoch), hostInterfaceName({ id, guest, index }, epoch));
    }),
  );
});

test("a guest's next interfaces have other names than its last ones, and the same MAC", () => {
  const nic = { id: "01", guest: name("web"), index: 0 };
  assert.match(hostInterfaceName(nic, 1), /^n[a-z2-7]{5}-web$/);
  assert.notEqual(hostInterfaceName(nic, 1), hostInterfaceName(nic, 2));
  assert.notEqual(hostInterfaceName(nic, 1), hostInterfaceName({ ...nic, index: 1 }, 1));
  assert.equal(nicMac("host", nic), nicMac("host", nic));
});

test("MAC addresses are unicast, locally administered, and differ by host, guest and NIC", () => {
  const macs = [
    nicMac("h1", { id: "a", index: 0 }),
    nicMac("h2", { id: "a", index: 0 }),
    nicMac("h1", { id: "b", index: 0 }),
    nicMac("h1", { id: "a", index: 1 }),
    bridgeMac("h1", name("a")),
  ];
  assert.equal(new Set(macs).size, macs.length);
  for (const mac of macs) assert.equal((macToBytes(mac)[0] ?? 0) & 3, 2);
  assert.notEqual(
    nicMac("h1", { id: "a", index: 0 }, (text) => text === macs[0]),
    macs[0],
  );
});

test("the altname tells network, guest, NIC and interface, within the kernel's 127 bytes", () => {
  const of = (network: Name, guest: Name, nic: number) => altName({ network, guest, nic, hostInterface: bridgeName(name("nic-abcdefgh")) });
  assert.equal(of(name("blue"), name("web"), 1), "nexus:blue:web:1:nx-nic-abcdefgh");
  const long = (letter: string) => name(letter.repeat(63));
  assert.ok(of(long("a"), long("b"), 15).length <= 127);
  assert.notEqual(of(long("a"), name(`${"b".repeat(62)}c`), 0), of(long("a"), long("b"), 0));
});

test("the namespace is named after the guest", () => {
  assert.equal(netnsName(name("web")), "nexus-web");
});

function name(text: string): Name {
  const value = parseName(text);
  assert.ok(!isFault(value), text);
  return value;
}
