import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Ip } from "../../src/base/ip.ts";
import type { Port } from "../../src/base/port.ts";
import { type Claim, Pins } from "../../src/daemon/pins.ts";
import type { PinChange } from "../../src/plan/firewall/pins.ts";

function sample() {
  const clock = { at: 0, monotonic: () => clock.at };
  return { clock, pins: new Pins(clock) };
}

const claim = (address: string, port = 443, source = "10.0.0.2"): Claim => ({
  source: source as Ip,
  address: address as Ip,
  port: port as Port,
});
const minute = { lifeMs: 90_000, enoughMs: 60_000 };
const words = (changes: readonly PinChange[] | undefined) =>
  changes?.map(
    ({ was, now }) => `${was === undefined ? "new" : was.leftMs} -> ${now === undefined ? "gone" : `${now.leftMs} ${now.names.join(",")}`}`,
  );

describe("pins", () => {
  test("are left alone while they last long enough, and then renewed", () => {
    const { clock, pins } = sample();
    assert.deepEqual(words(pins.claim("a", [claim("1.1.1.1")], minute)), ["new -> 90000 a"]);
    clock.at = 30_000;
    assert.deepEqual(pins.claim("a", [claim("1.1.1.1")], minute), []);
    clock.at = 30_001;
    assert.deepEqual(words(pins.claim("a", [claim("1.1.1.1")], minute)), ["59999 -> 90000 a"]);
  });

  test("of two names last as long as the longer, each name for its own time", () => {
    const { clock, pins } = sample();
    pins.claim("long", [claim("1.1.1.1")], { lifeMs: 600_000, enoughMs: 600_000 });
    assert.deepEqual(words(pins.claim("short", [claim("1.1.1.1")], minute)), ["600000 -> 600000 long,short"]);
    assert.deepEqual(words(pins.keep((_, name) => name === "short")), ["600000 -> 90000 short"]);
    clock.at = 91_000;
    assert.deepEqual(words(pins.keep(() => true)), ["0 -> gone"], "it may have gone by itself: to be made sure of");
    assert.deepEqual(pins.all(), []);
  });

  test("are forgotten when they ended long ago, and in doubt shortly after", () => {
    const { clock, pins } = sample();
    pins.claim("a", [claim("1.1.1.1")], minute);
    clock.at = 91_000;
    assert.deepEqual(
      pins.all().map(({ leftMs }) => leftMs),
      [0],
    );
    assert.deepEqual(words(pins.claim("a", [claim("1.1.1.1")], minute)), ["0 -> 90000 a"]);
    clock.at = 300_000;
    assert.deepEqual(pins.all(), []);
    assert.deepEqual(words(pins.claim("a", [claim("1.1.1.1")], minute)), ["new -> 90000 a"]);
  });

  test("of one guest go with it, and others stay", () => {
    const { pins } = sample();
    pins.claim("a", [claim("1.1.1.1"), claim("1.1.1.1", 443, "10.0.0.3")], minute);
    assert.deepEqual(words(pins.release(["10.0.0.2" as Ip, "fd00::2" as Ip])), ["90000 -> gone"]);
    assert.deepEqual(
      pins.all().map(({ source }) => source),
      ["10.0.0.3"],
    );
  });

  test("of one address are bounded: all of a name's are refused or none, until some have ended", () => {
    const { clock, pins } = sample();
    const many = Array.from({ length: 4095 }, (_, i) => claim(`1.1.${i >> 8}.${i & 255}`));
    assert.equal(pins.claim("many", many, minute)?.length, 4095);
    assert.equal(pins.claim("two", [claim("2.2.2.1"), claim("2.2.2.2")], minute), undefined);
    assert.equal(pins.of("10.0.0.2" as Ip).length, 4095, "nothing of the refused name");
    assert.equal(pins.claim("other", [claim("2.2.2.1", 443, "10.0.0.3")], minute)?.length, 1);
    assert.equal(pins.claim("one", [claim("2.2.2.1")], minute)?.length, 1);
    clock.at = 100_000;
    assert.equal(pins.claim("two", [claim("2.2.2.1"), claim("2.2.2.2")], minute)?.length, 2);
  });

  test("remember a few of the names that share an address", () => {
    const { clock, pins } = sample();
    for (let i = 0; i < 40; i++) {
      clock.at = i;
      pins.claim(`n${i}`, [claim("1.1.1.1")], minute);
    }
    assert.deepEqual(
      pins.all()[0]?.names,
      Array.from({ length: 16 }, (_, i) => `n${i + 24}`),
    );
  });

  test("that the kernel had already are known by their names, and without one are nobody's", () => {
    const { clock, pins } = sample();
    clock.at = 5000;
    pins.load([
      { ...claim("1.1.1.1"), names: ["a", "b"], leftMs: 40_000 },
      { ...claim("2.2.2.2"), names: [], leftMs: 40_000 },
    ]);
    assert.deepEqual(
      pins.all().map(({ address, names, leftMs }) => [address, names, leftMs]),
      [["1.1.1.1", ["a", "b"], 40_000]],
    );
    assert.deepEqual(words(pins.keep((_, name) => name === "b")), ["40000 -> 40000 b"]);
  });

  test("that the kernel refused are not believed to be there", () => {
    const { pins } = sample();
    const changes = pins.claim("a", [claim("1.1.1.1")], minute);
    pins.abandon(changes ?? []);
    assert.deepEqual(pins.all(), []);
  });
});
