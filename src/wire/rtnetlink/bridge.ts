import { attributeTable } from "../netlink/attributes.ts";
import { u16, u32, u8 } from "../netlink/codecs.ts";

/** IFLA_BR_* (linux/if_link.h): what a bridge is set to. Times are in hundredths of a second (USER_HZ). */
export const bridgeAttributes = attributeTable({
  forwardDelay: { number: 1, codec: u32, meaning: "time in listening and learning before a port forwards" },
  helloTime: { number: 2, codec: u32, meaning: "time between spanning tree hellos" },
  maxAge: { number: 3, codec: u32, meaning: "life of a spanning tree message" },
  ageingTime: { number: 4, codec: u32, meaning: "life of a learned address" },
  stpState: { number: 5, codec: u32, meaning: "spanning tree: 0 off, 1 kernel, 2 user space" },
  priority: { number: 6, codec: u16, meaning: "spanning tree priority of the bridge" },
  vlanFiltering: { number: 7, codec: u8, meaning: "ports keep to their VLANs" },
  groupForwardMask: { number: 9, codec: u16, meaning: "link-local groups 01:80:c2:00:00:0x that are forwarded" },
  fdbFlush: { number: 21, codec: u8, meaning: "forget learned addresses (write only)" },
  multicastSnooping: { number: 23, codec: u8, meaning: "forward multicast only where it was joined" },
  multicastQuerier: { number: 25, codec: u8, meaning: "send membership queries" },
  netfilterCallIptables: { number: 36, codec: u8, meaning: "bridged IPv4 passes the IPv4 hooks" },
  netfilterCallIp6tables: { number: 37, codec: u8, meaning: "bridged IPv6 passes the IPv6 hooks" },
  netfilterCallArptables: { number: 38, codec: u8, meaning: "bridged ARP passes the ARP hooks" },
  vlanDefaultPvid: { number: 39, codec: u16, meaning: "VLAN of untagged frames" },
});

/** IFLA_BRPORT_* (linux/if_link.h): what one port of a bridge is set to. */
export const bridgePortAttributes = attributeTable({
  state: { number: 1, codec: u8, meaning: "spanning tree state; 3 forwards" },
  priority: { number: 2, codec: u16, meaning: "spanning tree priority of the port" },
  cost: { number: 3, codec: u32, meaning: "spanning tree cost" },
  hairpin: { number: 4, codec: u8, meaning: "frames may leave by the port they came in" },
  guard: { number: 5, codec: u8, meaning: "spanning tree messages from the port are dropped" },
  rootBlock: { number: 6, codec: u8, meaning: "the port cannot lead to the root" },
  fastLeave: { number: 7, codec: u8, meaning: "a multicast leave acts at once" },
  learning: { number: 8, codec: u8, meaning: "source addresses are learned" },
  unicastFlood: { number: 9, codec: u8, meaning: "unicast to unknown addresses goes here" },
  proxyArp: { number: 10, codec: u8, meaning: "the bridge answers ARP for what it knows" },
  number: { number: 18, codec: u16, meaning: "number of the port in its bridge" },
  flush: { number: 24, codec: u8, meaning: "forget addresses learned here (write only)" },
  multicastRouter: { number: 25, codec: u8, meaning: "a multicast router is here" },
  multicastFlood: { number: 27, codec: u8, meaning: "multicast nobody joined goes here" },
  broadcastFlood: { number: 30, codec: u8, meaning: "broadcast goes here" },
  groupForwardMask: { number: 31, codec: u16, meaning: "link-local groups forwarded here" },
  neighbourSuppress: { number: 32, codec: u8, meaning: "ARP and neighbour discovery are answered by the bridge" },
  isolated: { number: 33, codec: u8, meaning: "no frames to or from other isolated ports" },
  locked: { number: 39, codec: u8, meaning: "only sources in the forwarding table may send" },
});
