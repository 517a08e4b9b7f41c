import assert from "node:assert/strict";
import { test } from "node:test";
import type { Ip } from "../../src/base/ip.ts";
import type { Name } from "../../src/base/names.ts";
import type { Port } from "../../src/base/port.ts";
import { publishElements } from "../../src/plan/firewall/elements.ts";

const publish = (hostAddress: string) =>
  publishElements({
    guest: "web" as Name,
    protocol: "tcp",
    hostAddress: hostAddress as Ip,
    hostPort: 8080 as Port,
    guestPort: 80 as Port,
    targets: ["10.0.42.2" as Ip, "fd00::2" as Ip],
  });

// No packet is ever addressed to the unspecified address, so an element for it forwards nothing.
test("a port published on 0.0.0.0 is published on every IPv4 address", () => {
  assert.deepEqual(
    publish("0.0.0.0").map(({ set }) => set),
    ["publish4"],
  );
});

test("a port published on :: is published on every IPv6 address", () => {
  assert.deepEqual(
    publish("::").map(({ set }) => set),
    ["publish6"],
  );
});
