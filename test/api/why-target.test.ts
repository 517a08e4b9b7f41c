import assert from "node:assert/strict";
import { test } from "node:test";
import { target } from "../../src/api/why-target.ts";

test("a port may say which protocol's it is", () => {
  assert.deepEqual(target.parse("web:80"), { host: "web", port: 80 });
  assert.deepEqual(target.parse("time.example:123/udp"), { host: "time.example", port: 123, protocol: "udp" });
  assert.deepEqual(target.parse("10.0.0.5:53/tcp"), { host: "10.0.0.5", port: 53, protocol: "tcp" });
  assert.deepEqual(target.parse("[fd00::5]:53/udp"), { host: "fd00::5", port: 53, protocol: "udp" });
  for (const text of ["web/udp", "web:80/sctp", "web:80/", "fd00::5/udp", "web:/udp"])
    assert.equal(target.safeParse(text).success, false, text);
});
