import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import type { Name } from "../../src/base/names.ts";
import { ownAndNetworks } from "../../src/daemon/run-egress.ts";
import type { NetworkRow } from "../../src/state/rows.ts";
import { cidr, ip, prefix, run } from "./iproute.ts";

test("a run reaches neither what the host takes for its own, by whatever route, nor guests of its networks", async () => {
  const subnets = [{ prefix: prefix("45.45.0.0/24"), gateway: ip("45.45.0.1") }];
  const own = ownAndNetworks({ networks: new Map([["public" as Name, { subnets } as unknown as NetworkRow]]) });
  run("ip link set lo up");
  for (const words of ["add nexus0 type bridge", "add port0 type veth peer name port1", "set port0 master nexus0"]) run(`ip link ${words}`);
  for (const link of ["port0", "port1", "nexus0"]) run(`ip link set ${link} up`);
  run(`ip addr add ${cidr("46.46.46.1/24")} dev nexus0`);
  run("ip addr add 2600:46::1/64 dev nexus0 nodad");
  // IPv6 begins when the kernel has seen the carrier (net/ipv6/addrconf.c), and what it has stays when that goes with the only port.
  const signal = AbortSignal.timeout(5000);
  while (!run("ip -6 route show table local").includes("2600:46::1")) await delay(10, undefined, { signal });
  run("ip link del port0");
  run("ip route add local 47.47.47.0/24 dev lo");
  for (const address of ["46.46.46.1", "46.46.46.255", "2600:46::1", "47.47.47.9", "45.45.0.7"]) assert.ok(own.has(ip(address)), address);
  for (const address of ["46.46.46.2", "2600:46::2", "45.45.1.7", "93.184.216.34"]) assert.ok(!own.has(ip(address)), address);
});
