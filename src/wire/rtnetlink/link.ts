import { attributeTable, type DecodedOf, type InputOf } from "../netlink/attributes.ts";
import { bytes, hardwareAddress, s32, string, u16, u32, u64, u8 } from "../netlink/codecs.ts";
import { choice, headed, nested, repeated } from "../netlink/nesting.ts";
import { padding, struct } from "../netlink/struct.ts";
import { bodyOf } from "../netlink/body.ts";
import { bridgeAttributes, bridgePortAttributes } from "./bridge.ts";

/** struct ifinfomsg (linux/rtnetlink.h). `change` says which bits of `flags` a request sets. */
const linkHeader = struct({ family: u8, pad: padding(1), type: u16, index: s32, flags: u32, change: u32 });

/** struct rtnl_link_stats64 (linux/if_link.h), its first fields; what kernels append is passed over. */
const statistics = struct({
  receivedPackets: u64,
  sentPackets: u64,
  receivedBytes: u64,
  sentBytes: u64,
  receiveErrors: u64,
  sendErrors: u64,
  receiveDrops: u64,
  sendDrops: u64,
});

/** IFLA_* (linux/if_link.h) that either end of a new pair can be given. */
const endSpecs = {
  address: { number: 1, codec: hardwareAddress, meaning: "hardware address" },
  name: { number: 3, codec: string, meaning: "name" },
  mtu: { number: 4, codec: u32, meaning: "largest packet in bytes" },
  queueLength: { number: 13, codec: u32, meaning: "packets the device may queue" },
  group: { number: 27, codec: u32, meaning: "device group" },
  netnsFd: { number: 28, codec: u32, meaning: "file of the network namespace it goes to" },
  transmitQueues: { number: 31, codec: u32, meaning: "transmit queues" },
  receiveQueues: { number: 32, codec: u32, meaning: "receive queues" },
} as const;

/** VETH_INFO_* (linux/veth.h). */
const vethAttributes = attributeTable({
  peer: { number: 1, codec: headed(linkHeader, attributeTable(endSpecs)), meaning: "the other end, as a whole link message" },
});

/** IFLA_TUN_* (linux/if_link.h); the kernel reports them, taps are made through /dev/net/tun. */
const tunAttributes = attributeTable({
  owner: { number: 1, codec: u32, meaning: "user who may open it" },
  group: { number: 2, codec: u32, meaning: "group that may open it" },
  type: { number: 3, codec: u8, meaning: "1 tun, 2 tap" },
  packetInfo: { number: 4, codec: u8, meaning: "frames carry struct tun_pi" },
  vnetHeader: { number: 5, codec: u8, meaning: "frames carry struct virtio_net_hdr" },
  persistent: { number: 6, codec: u8, meaning: "stays when nobody has it open" },
  multiQueue: { number: 7, codec: u8, meaning: "may be opened several times" },
  queues: { number: 8, codec: u32, meaning: "queues open now" },
  disabledQueues: { number: 9, codec: u32, meaning: "queues open and detached" },
});

const kinds = { bridge: nested(bridgeAttributes), veth: nested(vethAttributes), tun: nested(tunAttributes) };

/** IFLA_INFO_*: what kind of link, and what its bridge keeps about it. */
const linkInfo = attributeTable({
  kind: { number: 1, codec: string, meaning: "driver: bridge, veth, tun" },
  data: { number: 2, codec: choice("kind", kinds), meaning: "settings of the kind" },
  slaveKind: { number: 4, codec: string, meaning: "kind of the master" },
  slaveData: { number: 5, codec: choice("slaveKind", { bridge: nested(bridgePortAttributes) }), meaning: "settings of the port" },
});

/** IFLA_INET6_* (linux/if_link.h), the one line we set; the counters stay unknown attributes. */
const inet6Attributes = attributeTable({
  addressGeneration: { number: 8, codec: u8, meaning: "how link-local addresses come: 0 EUI-64, 1 never, 2 stable secret, 3 random" },
});

const familyAttributes = attributeTable({
  inet: { number: 2, codec: bytes, meaning: "IPv4 settings of the link" },
  inet6: { number: 10, codec: nested(inet6Attributes), meaning: "IPv6 settings of the link" },
});

/** IFLA_ALT_IFNAME within IFLA_PROP_LIST. */
const propertyAttributes = attributeTable({
  altName: { number: 53, codec: repeated(string), meaning: "another name, up to 127 bytes" },
});

/** IFLA_* (linux/if_link.h), the rest. */
const linkAttributes = attributeTable({
  ...endSpecs,
  broadcast: { number: 2, codec: hardwareAddress, meaning: "hardware broadcast address" },
  link: { number: 5, codec: u32, meaning: "index of the other end or lower link" },
  queueDiscipline: { number: 6, codec: string, meaning: "root queueing discipline" },
  master: { number: 10, codec: u32, meaning: "index of the bridge; 0 leaves it" },
  protocolInfo: { number: 12, codec: bytes, meaning: "of the header's family: bridge ports or IPv6" },
  operState: { number: 16, codec: u8, meaning: "operational state (RFC 2863)" },
  linkMode: { number: 17, codec: u8, meaning: "1 when user space drives the operational state" },
  info: { number: 18, codec: nested(linkInfo), meaning: "kind and its settings" },
  alias: { number: 20, codec: string, meaning: "description" },
  statistics: { number: 23, codec: statistics, meaning: "counters" },
  perFamily: { number: 26, codec: nested(familyAttributes), meaning: "settings per address family" },
  filter: { number: 29, codec: u32, meaning: "RTEXT_FILTER_*: what a reply leaves out or adds" },
  promiscuity: { number: 30, codec: u32, meaning: "users that want every frame" },
  carrier: { number: 33, codec: u8, meaning: "there is a signal" },
  carrierChanges: { number: 35, codec: u32, meaning: "times the signal came or went" },
  linkNetnsId: { number: 37, codec: s32, meaning: "namespace of the other end, as this namespace numbers it" },
  protocolDown: { number: 39, codec: u8, meaning: "user space holds it down" },
  gsoMaxSegments: { number: 40, codec: u32, meaning: "most segments offloaded at once" },
  gsoMaxSize: { number: 41, codec: u32, meaning: "most bytes offloaded at once" },
  carrierUps: { number: 47, codec: u32, meaning: "times the signal came" },
  carrierDowns: { number: 48, codec: u32, meaning: "times the signal went" },
  minMtu: { number: 50, codec: u32, meaning: "smallest MTU the driver takes" },
  maxMtu: { number: 51, codec: u32, meaning: "largest MTU the driver takes" },
  properties: { number: 52, codec: nested(propertyAttributes), meaning: "alternative names" },
  altName: { number: 53, codec: string, meaning: "alternative name to look up" },
  permanentAddress: { number: 54, codec: hardwareAddress, meaning: "hardware address it was born with" },
  groMaxSize: { number: 58, codec: u32, meaning: "most bytes merged at once" },
  tsoMaxSize: { number: 59, codec: u32, meaning: "most bytes the device segments" },
  tsoMaxSegments: { number: 60, codec: u32, meaning: "most segments the device makes" },
  allMulticast: { number: 61, codec: u32, meaning: "users that want every multicast frame" },
  gsoIpv4MaxSize: { number: 63, codec: u32, meaning: "gsoMaxSize for IPv4" },
  groIpv4MaxSize: { number: 64, codec: u32, meaning: "groMaxSize for IPv4" },
});

/** Messages about links: RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK, RTM_NEWLINKPROP. */
export const linkBody = bodyOf("link", linkHeader, linkAttributes);

export type LinkAttributes = DecodedOf<typeof linkAttributes>;
export type LinkInput = InputOf<typeof linkAttributes>;
export type LinkMessage = ReturnType<typeof linkBody.decode>;

/** IFF_* (linux/if.h). */
export const linkFlags = { up: 0x1, loopback: 0x8, running: 0x40, lowerUp: 0x10000 } as const;

/** ARPHRD_* (linux/if_arp.h). */
export const linkType = { ethernet: 1, loopback: 772 } as const;

/** RTEXT_FILTER_SKIP_STATS (linux/rtnetlink.h): replies leave out the IPv6 and ICMPv6 counters, a third of their length. */
export const withoutInet6Counters = 8;

/** IFLA_OPERSTATE by number (RFC 2863 §3.1.14, linux/if.h). */
export const operStates = ["unknown", "not-present", "down", "lower-layer-down", "testing", "dormant", "up"] as const;

/** IFLA_INET6_ADDR_GEN_MODE values. */
export const addressGeneration = { eui64: 0, none: 1 } as const;
