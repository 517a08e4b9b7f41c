import assert from "node:assert/strict";
import { test } from "node:test";
import type { Name } from "../../src/base/names.ts";
import { ownAndNetworks } from "../../src/daemon/run-egress.ts";
import type { NetworkRow } from "../../src/state/rows.ts";
import { cidr, ip, prefix, run } from "./iproute.ts";

test("a run reaches neither what the host takes for its own, by whatever route, nor guests of its networks", () => {
  const subnets = [{ prefix: prefix("45.45.0.0/24"), gateway: ip("45.45.0.1") }];
  const own = ownAndNetworks({ networks: new Map([["public" as Name, { subnets } as unknown as NetworkRow]]) });
  run("ip link set lo up");
  // Without carrier from the moment its only port went.
  for (const words of ["add nexus0 type bridge", "add port0 type veth peer name port1", "set port0 master nexus0", "set nexus0 up"])
    run(`ip link ${words}`);
  run(`ip addr add ${cidr("46.46.46.1/24")} dev nexus0`);
  run("ip addr add 2600:46::1/64 dev nexus0 nodad");
  run("ip route add local 47.47.47.0/24 dev lo");
  for (const address of ["46.46.46.1", "46.46.46.255", "2600:46::1", "47.47.47.9", "45.45.0.7"]) assert.ok(own.has(ip(address)), address);
  for (const address of ["46.46.46.2", "2600:46::2", "45.45.1.7", "93.184.216.34"]) assert.ok(!own.has(ip(address)), address);
});
