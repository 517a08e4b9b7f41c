import { type Ip, parseIp } from "../../src/base/ip.ts";
import { isFault, type Name, parseName } from "../../src/base/names.ts";
import { type Port, parsePort } from "../../src/base/port.ts";
import { addressAt, parsePrefix, type Prefix } from "../../src/base/prefix.ts";
import { bridgeMac, bridgeName, hostInterfaceName, netnsName, nicMac } from "../../src/plan/naming.ts";
import type { Desired } from "../../src/plan/plan.ts";
import type { AttachmentRecord, NetworkRecord, PublishRecord } from "../../src/plan/records.ts";
import { networkSpec, type NetworkSpecInput } from "../../src/spec/network.ts";
import type { PublishSpec } from "../../src/spec/node.ts";

/** Records as the daemon would write them down, from few words. */

const instance = "0123456789abcdef0123456789abcdef";

export function network(
  index: number,
  name: string,
  input: Omit<NetworkSpecInput, "name" | "subnets"> & { subnets: string[] },
): NetworkRecord {
  const spec = networkSpec.parse({ ...input, name });
  const subnets = input.subnets.map((text) => ({ prefix: prefix(text), gateway: addressAt(prefix(text), 1n) }));
  return { name: spec.name, index, bridge: bridgeName(spec.name), mac: bridgeMac(instance, spec.name), subnets, spec };
}

/** One NIC with an address of each of the network's subnets: the first by default the tenth of the prefix. */
export function attachment(guest: string, on: NetworkRecord, more: { nic?: number; host?: number } = {}): AttachmentRecord {
  const nic = more.nic ?? 0;
  const id = `id-${guest}`;
  return {
    guest: nameOf(guest),
    nic,
    network: on.name,
    hostInterface: hostInterfaceName({ id, guest: nameOf(guest), index: nic }, 1),
    mac: nicMac(instance, { id, index: nic }),
    addresses: on.subnets.map((s) => addressAt(s.prefix, BigInt(more.host ?? 10))),
    end: { kind: "namespace", netns: netnsName(nameOf(guest)) },
  };
}

export function publish(
  of: AttachmentRecord,
  spec: Omit<Partial<PublishSpec>, "hostAddress" | "hostPort" | "hostPortEnd" | "guestPort"> & {
    host?: string;
    from: number;
    to?: number;
    guest: number;
  },
): PublishRecord {
  return {
    protocol: spec.protocol ?? "tcp",
    hostPort: port(spec.from),
    guestPort: port(spec.guest),
    ...(spec.host === undefined ? {} : { hostAddress: ip(spec.host) }),
    ...(spec.to === undefined ? {} : { hostPortEnd: port(spec.to) }),
    guest: of.guest,
    targets: of.addresses,
  };
}

export function desired(parts: Partial<Desired>): Desired {
  return { instance, networks: [], attachments: [], publishes: [], pins: [], ...parts };
}

/** Two networks that are peers, an internal one, an isolated one without translation; guests with one and two NICs; every kind of publish. */
export function sample(): Desired {
  const lan = network(1, "lan", { subnets: ["10.7.0.0/24", "fd00:7::/64"] });
  const dmz = network(2, "dmz", { subnets: ["10.8.0.0/24"], peers: ["lan"], mtu: 1400 });
  const vault = network(3, "vault", { subnets: ["10.9.0.0/24", "fd00:9::/64"], internal: true });
  const hotel = network(4, "hotel", { subnets: ["fd00:10::/64"], isolation: "guests", nat: false });
  const web = attachment("web", lan);
  const attachments = [
    web,
    attachment("web", vault, { nic: 1 }),
    attachment("mail", dmz),
    attachment("room", hotel),
    attachment("safe", vault, { host: 11 }),
  ];
  const publishes = [
    publish(web, { from: 8080, guest: 80 }),
    publish(web, { from: 5353, guest: 53, protocol: "udp", host: "127.0.0.1" }),
    publish(web, { from: 9000, to: 9010, guest: 9000 }),
    publish(web, { from: 9100, to: 9101, guest: 80, host: "127.0.0.1" }),
    publish(web, { from: 8443, guest: 443, host: "::1" }),
  ];
  return desired({ networks: [lan, dmz, vault, hotel], attachments, publishes });
}

export function ip(text: string): Ip {
  const parsed = parseIp(text);
  if (parsed === undefined) throw new Error(`no address: ${text}`);
  return parsed;
}

export function nameOf(text: string): Name {
  const parsed = parseName(text);
  if (isFault(parsed)) throw new Error(parsed.fault);
  return parsed;
}

function prefix(text: string): Prefix {
  const parsed = parsePrefix(text);
  if (typeof parsed !== "string") throw new Error(`no prefix: ${text}`);
  return parsed;
}

function port(n: number): Port {
  const parsed = parsePort(n);
  if (parsed === undefined) throw new Error(`no port: ${n}`);
  return parsed;
}
