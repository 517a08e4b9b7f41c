import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { test } from "node:test";
import { parseIp } from "../../src/base/ip.ts";
import { parsePort, type Port } from "../../src/base/port.ts";
import { listenerOn } from "../../src/daemon/port-check.ts";
import type { PublishSpec } from "../../src/spec/node.ts";

const range = (first: number, last: number, protocol: "tcp" | "udp", address?: string): PublishSpec => {
  const hostAddress = address === undefined ? undefined : parseIp(address);
  return {
    protocol,
    hostPort: parsePort(first) as Port,
    hostPortEnd: parsePort(last),
    guestPort: parsePort(first) as Port,
    ...(hostAddress === undefined ? {} : { hostAddress }),
  };
};

test("a listener in a range of ports is found, however long the range is", async (t) => {
  // Another process: what this one listens on itself counts as the daemon's own. An address on which no other test listens meanwhile.
  const address = "127.0.91.7";
  const child = spawn(process.execPath, [
    "-e",
    `const s = require("node:net").createServer().listen(0, "${address}", () => {
       const u = require("node:dgram").createSocket("udp4"); u.bind(s.address().port, "${address}", () => console.log(s.address().port)); });`,
  ]);
  t.after(() => child.kill());
  const [said] = await once(child.stdout, "data");
  const port = Number(String(said));
  for (const protocol of ["tcp", "udp"] as const) {
    for (const length of [4, 4000]) {
      const first = Math.max(1024, port - length / 2);
      const last = Math.min(65_535, port + length / 2);
      assert.match(listenerOn(range(port, port, protocol)) ?? "", new RegExp(`\\(pid ${child.pid}\\)`));
      const found = listenerOn(range(first, last, protocol, address)) ?? "";
      assert.match(found, new RegExp(`\\(pid ${child.pid}\\)`), `${protocol} ${first}-${last}`);
    }
  }
});

test("fifty thousand ports take no longer than a moment", () => {
  const since = performance.now();
  listenerOn(range(10_001, 60_000, "tcp", "127.0.0.77"));
  const took = performance.now() - since;
  assert.ok(took < 400, `${took} ms`);
});

test("an address that no interface has is refused for a long range too", () => {
  assert.throws(() => listenerOn(range(10_001, 20_000, "udp", "192.0.2.77")), { code: "address-outside" });
});

test("a socket on another address of the host does not hold the port of this one", async (t) => {
  const server = createServer();
  server.listen(28_517, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  for (const last of [28_517, 28_600]) assert.equal(listenerOn(range(28_517, last, "tcp", "127.0.0.78")), undefined);
});
