import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseIp } from "../../src/base/ip.ts";
import { type Name, parseName } from "../../src/base/names.ts";
import type { Port } from "../../src/base/port.ts";
import { type Prefix, parsePrefix } from "../../src/base/prefix.ts";
import { bridgeMac, bridgeName, hostInterfaceName, nicMac } from "../../src/plan/naming.ts";
import { networkSpec } from "../../src/spec/network.ts";
import { nodeSpec } from "../../src/spec/node.ts";
import type { GuestRecord, NetworkRow } from "../../src/state/rows.ts";
import { State } from "../../src/state/state.ts";
import { libc } from "../../src/sys/libc.ts";

/** Rows as the daemon would write them. */

export const clock = { now: () => 1_700_000_000_000 };

/** LOCK_EX | LOCK_NB (asm-generic/fcntl.h). */
export const tryLock = (fd: number): boolean => libc().flock(fd, 2 | 4) === 0;

export function openState(directory: string): State {
  return State.open(directory, tryLock, clock);
}

export function temporaryDirectory(): Disposable & { path: string } {
  const path = mkdtempSync(join(tmpdir(), "nexus-state-"));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

export function network(text: string, index: number): NetworkRow {
  const name = parseName(text) as Name;
  const prefix = parsePrefix(`10.${index}.0.0/16`) as Prefix;
  return {
    name,
    index,
    bridge: bridgeName(name),
    mac: bridgeMac("i", name),
    spec: networkSpec.parse({ name, subnets: [prefix] }),
    createdAt: 1,
    subnets: [{ prefix, gateway: address(`10.${index}.0.1`) }],
  };
}

/** Guest number n on that network: one NIC, one lease and one published port. */
export function guest(network: NetworkRow, n: number): GuestRecord {
  const name = parseName(`g${n}`) as Name;
  const id = `id-${n}`;
  const nic = { id, guest: name, index: 0 };
  const port = (10_000 + n) as Port;
  const publish = { protocol: "tcp" as const, hostPort: port, guestPort: 80 as Port };
  return {
    id,
    name,
    kind: "container",
    spec: nodeSpec.parse({ name, mem: 256, cpu: 512, publish: [publish] }),
    desired: "running",
    state: "created",
    exit: undefined,
    problem: undefined,
    restarts: 0,
    epoch: 1,
    runtime: undefined,
    createdAt: n,
    startedAt: undefined,
    attachments: [{ nic: 0, network: network.name, hostInterface: hostInterfaceName(nic, 1), mac: nicMac("i", nic), epoch: 1 }],
    leases: [{ network: network.name, address: address(`10.${network.index}.${n >> 8}.${n & 255}`), nic: 0, since: n }],
    publishes: [publish],
  };
}

function address(text: string) {
  const ip = parseIp(text);
  if (ip === undefined) throw new RangeError(text);
  return ip;
}
