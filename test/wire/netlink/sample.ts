import { attributeTable } from "../../../src/wire/netlink/attributes.ts";
import {
  be16,
  be32,
  be64,
  bytes,
  flag,
  hardwareAddress,
  ip,
  ipv4,
  ipv6,
  mac,
  s32,
  string,
  u16,
  u32,
  u64,
  u8,
} from "../../../src/wire/netlink/codecs.ts";
import { choice, headed, list, nested, repeated } from "../../../src/wire/netlink/nesting.ts";
import { padding, struct } from "../../../src/wire/netlink/struct.ts";

/** struct ifinfomsg and a few link attributes, numbered as in include/uapi/linux/if_link.h. */
export const linkHeader = struct({ family: u8, pad: padding(1), type: u16, index: s32, flags: u32, change: u32 });

export const peerTable = attributeTable({
  address: { number: 1, codec: hardwareAddress, meaning: "link-layer address" },
  name: { number: 3, codec: string, meaning: "name" },
  mtu: { number: 4, codec: u32, meaning: "bytes" },
  netns: { number: 28, codec: u32, meaning: "descriptor of the namespace" },
  transmitQueues: { number: 31, codec: u32, meaning: "queues" },
  receiveQueues: { number: 32, codec: u32, meaning: "queues" },
});

export const vethTable = attributeTable({ peer: { number: 1, codec: headed(linkHeader, peerTable), meaning: "the other end" } });
export const bridgeTable = attributeTable({ stp: { number: 5, codec: u32, meaning: "spanning tree" } });

export const linkTable = attributeTable({
  address: { number: 1, codec: hardwareAddress, meaning: "link-layer address" },
  name: { number: 3, codec: string, meaning: "name" },
  mtu: { number: 4, codec: u32, meaning: "bytes" },
  master: { number: 10, codec: u32, meaning: "bridge" },
  info: {
    number: 18,
    codec: nested(
      attributeTable({
        kind: { number: 1, codec: string, meaning: "driver" },
        data: { number: 2, codec: choice("kind", { veth: nested(vethTable), bridge: nested(bridgeTable) }), meaning: "of the driver" },
      }),
    ),
    meaning: "driver data",
  },
  group: { number: 27, codec: u32, meaning: "group" },
  altnames: { number: 52, codec: list(string, { element: 53 }), meaning: "further names" },
  transmitQueues: { number: 31, codec: u32, meaning: "queues" },
  receiveQueues: { number: 32, codec: u32, meaning: "queues" },
});

/** One attribute of every codec. */
export const everyTable = attributeTable({
  u8: { number: 1, codec: u8, meaning: "" },
  u16: { number: 2, codec: u16, meaning: "" },
  u32: { number: 3, codec: u32, meaning: "" },
  s32: { number: 4, codec: s32, meaning: "" },
  u64: { number: 5, codec: u64, meaning: "" },
  be16: { number: 6, codec: be16, meaning: "" },
  be32: { number: 7, codec: be32, meaning: "" },
  be64: { number: 8, codec: be64, meaning: "" },
  flag: { number: 9, codec: flag, meaning: "" },
  bytes: { number: 10, codec: bytes, meaning: "" },
  string: { number: 11, codec: string, meaning: "" },
  ipv4: { number: 12, codec: ipv4, meaning: "" },
  ipv6: { number: 13, codec: ipv6, meaning: "" },
  ip: { number: 14, codec: ip, meaning: "" },
  mac: { number: 15, codec: mac, meaning: "" },
  nested: { number: 16, codec: nested(bridgeTable), meaning: "" },
  list: { number: 17, codec: list(nested(bridgeTable)), meaning: "" },
  indexed: { number: 18, codec: list(u16, { element: "index" }), meaning: "" },
  repeated: { number: 19, codec: repeated(u32), meaning: "" },
  headed: { number: 20, codec: headed(linkHeader, peerTable), meaning: "" },
});
