import assert from "node:assert/strict";
import { test } from "node:test";
import { type ErrorCode, NexusError } from "../../src/base/errors.ts";
import { claimPorts, PortTable } from "../../src/plan/ports.ts";
import { publishSpec } from "../../src/spec/node.ts";

test("ports clash by protocol, address and range, and the holder is named", () => {
  const table = new PortTable();
  claimPorts(table, "guest web", [
    publish({ hostPort: 8080 }),
    publish({ hostPort: 100, hostPortEnd: 300, hostAddress: "10.0.0.1" }),
    publish({ hostPort: 53, hostAddress: "::1", protocol: "udp" }),
  ]);
  const clash = (wanted: object, words: RegExp) => taken(() => claimPorts(table, "guest db", [publish(wanted)]), words);
  clash({ hostPort: 8080 }, /^tcp port 8080 is published by guest web \(tcp port 8080\)$/);
  clash({ hostPort: 8080, hostAddress: "127.0.0.1" }, /^tcp port 127\.0\.0\.1:8080 is published by guest web/);
  clash({ hostPort: 8080, hostAddress: "fd00::1" }, /tcp port \[fd00::1\]:8080/);
  clash({ hostPort: 8000, hostPortEnd: 9000 }, /tcp ports 8000-9000 are published by/);
  clash({ hostPort: 300, hostPortEnd: 400 }, /tcp ports 10\.0\.0\.1:100-300/);
  clash({ hostPort: 200, hostAddress: "0.0.0.0" }, /guest web/);
  clash({ hostPort: 53, hostAddress: "::", protocol: "udp" }, /guest web/);
  claimPorts(table, "guest db", [
    publish({ hostPort: 8080, protocol: "udp" }),
    publish({ hostPort: 200, hostAddress: "10.0.0.2" }),
    publish({ hostPort: 200, hostAddress: "::" }),
    publish({ hostPort: 301, hostAddress: "10.0.0.1" }),
    publish({ hostPort: 53, protocol: "udp", hostAddress: "0.0.0.0" }),
  ]);
});

test("a claim is all or nothing, and its ports are free when it is given back", () => {
  const table = new PortTable();
  const claims = claimPorts(table, "a", [publish({ hostPort: 1, hostPortEnd: 65535 })]);
  taken(() => claimPorts(table, "b", [publish({ hostPort: 9, protocol: "udp" }), publish({ hostPort: 9 })]), /published by a/);
  assert.equal(table.conflict(publish({ hostPort: 9, protocol: "udp" }), "c"), undefined);
  for (const claim of claims) table.delete(claim);
  claimPorts(table, "b", [publish({ hostPort: 65535 })]);
});

test("a guest cannot publish one host port twice, but may keep its own when it is made anew", () => {
  const table = new PortTable();
  taken(
    () => claimPorts(table, "a", [publish({ hostPort: 80 }), publish({ hostPort: 80, hostAddress: "127.0.0.1" })]),
    /published twice by a/,
  );
  claimPorts(table, "a", [publish({ hostPort: 80 })]);
  assert.equal(table.conflict(publish({ hostPort: 80 }), "a"), undefined);
});

function publish(text: object) {
  return publishSpec.parse({ guestPort: 1, ...text });
}

function taken(work: () => unknown, words: RegExp): void {
  const code: ErrorCode = "port-taken";
  assert.throws(work, (error) => {
    assert.ok(error instanceof NexusError && error.code === code);
    assert.match(error.message, words);
    return true;
  });
}
