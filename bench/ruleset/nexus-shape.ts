import { type Mac, parseMac } from "../../src/base/mac.ts";
import { isFault, parseIfName, parseName } from "../../src/base/names.ts";
import { parseIp } from "../../src/base/ip.ts";
import { parsePort } from "../../src/base/port.ts";
import { parsePrefix, type Prefix } from "../../src/base/prefix.ts";
import { type Ruleset, ruleset } from "../../src/plan/firewall/ruleset.ts";
import type { AttachmentRecord, NetworkRecord, PublishRecord } from "../../src/plan/records.ts";
import { networkSpec } from "../../src/spec/network.ts";
import { guestPorts, portsOf, scale, subnetOf } from "./scale.ts";
import { bridge, guestMac } from "./topology.ts";

/** Nexus's own ruleset for those networks: one guest and `portsEach` published ports on each. The measured network must be among them. */
export function nexusShape(networks: readonly number[]): Ruleset {
  return ruleset({
    instance: "bench",
    networks: networks.map(networkOf),
    attachments: networks.map(attachmentOf),
    publishes: networks.flatMap(publishesOf),
    pins: [],
  });
}

function networkOf(network: number): NetworkRecord {
  const { prefix, gateway } = subnetOf(network);
  return {
    name: checked(parseName(`n${network}`)),
    index: network + 1,
    bridge: checked(parseIfName(network === scale.measured ? bridge.name : `nx-n${network}`)),
    mac: macOf(0x5e01, network),
    subnets: [{ prefix: prefixOf(prefix), gateway: present(parseIp(gateway)) }],
    spec: networkSpec.parse({ name: `n${network}` }),
  };
}

function attachmentOf(network: number): AttachmentRecord {
  const measured = network === scale.measured;
  return {
    guest: checked(parseName(`g${network}`)),
    nic: 0,
    network: checked(parseName(`n${network}`)),
    hostInterface: checked(parseIfName(measured ? bridge.port : `n${network}-g`)),
    mac: measured ? present(parseMac(guestMac)) : macOf(0x5e02, network),
    addresses: [present(parseIp(subnetOf(network).guest))],
    end: { kind: "namespace", netns: `nexus-g${network}` },
  };
}

function publishesOf(network: number): PublishRecord[] {
  return portsOf(network).map((port) => ({
    protocol: "tcp",
    hostPort: present(parsePort(port)),
    guestPort: present(parsePort(guestPorts.connections)),
    guest: checked(parseName(`g${network}`)),
    targets: [present(parseIp(subnetOf(network).guest))],
  }));
}

function prefixOf(text: string): Prefix {
  const prefix = parsePrefix(text);
  if (typeof prefix !== "string") throw new Error(`${text} is no prefix`);
  return prefix;
}

function macOf(kind: number, network: number): Mac {
  const hex = ((kind << 16) | network).toString(16).padStart(8, "0");
  return present(parseMac(`02:00:${hex.replaceAll(/(..)(?=.)/g, "$1:")}`));
}

function checked<T>(value: T | { fault: string }): T {
  if (isFault(value)) throw new Error(value.fault);
  return value;
}

function present<T>(value: T | undefined): T {
  if (value === undefined) throw new Error("the benchmark made a value that is none");
  return value;
}
