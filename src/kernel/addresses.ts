import { WireError } from "../base/errors.ts";
import { type Ip, type IpFamily, ipFamily, ipFromBigint, isIpv4 } from "../base/ip.ts";
import { type Cidr, familyBits, makeCidr, networkOf, prefixAddress, prefixLength, prefixRange } from "../base/prefix.ts";
import { messageFlags } from "../wire/netlink/message.ts";
import { addressBody, addressFlags } from "../wire/rtnetlink/address.ts";
import { addressFamily, routeMessage } from "../wire/rtnetlink/messages.ts";
import type { BatchStep } from "./batch-steps.ts";
import { type LinkRef, linkIndex, linkText } from "./link-ref.ts";
import type { NetlinkSocket } from "./netlink-socket.ts";
import { nexusProtocol } from "./ownership.ts";

/** An address of a link as the kernel tells it. */
export type Address = {
  link: number;
  cidr: Cidr;
  /** Of the other end, on point-to-point links. */
  peer?: Ip;
  broadcast?: Ip;
  /** RT_SCOPE_*. */
  scope: number;
  /** Who added it; 78 is Nexus. Absent when nobody said, and on kernels before 5.18. */
  protocol?: number;
  /** IFA_F_*. */
  flags: number;
  /** Duplicate address detection is not done yet: the address cannot be used. */
  tentative: boolean;
  /** Another host has it. */
  duplicate: boolean;
  /** Absent when it stays until removed. */
  validSeconds?: number;
};

export type AddressInput = { link: LinkRef; cidr: Cidr };

/** The addresses of the namespace, or of one link, IPv4 first. @throws KernelError */
export function listAddresses(rt: NetlinkSocket, options: { link?: number; family?: IpFamily } = {}): Address[] {
  const families = options.family === undefined ? ([4, 6] as const) : [options.family];
  return families.flatMap((family) => {
    const request = addressBody.request(routeMessage.getAddress, { header: { family: familyNumber(family), index: options.link } });
    return rt
      .dump("list addresses", request)
      .filter((message) => message.type === routeMessage.newAddress)
      .map((message) => readAddress(message.body));
  });
}

/** Adds an address with our protocol number: IPv6 without duplicate detection, which would delay it by seconds. @throws KernelError; EEXIST when it is there */
export function addAddress(rt: NetlinkSocket, input: AddressInput): void {
  const step = addressStep(input);
  rt.request(step.op, step.request);
}

/** @throws KernelError; EADDRNOTAVAIL when the link does not have it */
export function removeAddress(rt: NetlinkSocket, { link, cidr }: AddressInput): void {
  const address = prefixAddress(cidr);
  const request = addressBody.request(routeMessage.delAddress, { header: headerOf(link, cidr), attributes: { local: address, address } });
  rt.request(`remove address ${cidr} from ${linkText(link)}`, request);
}

/** The message of addAddress, for a batch. */
export function addressStep({ link, cidr }: AddressInput): BatchStep {
  const address = prefixAddress(cidr);
  const request = addressBody.request(routeMessage.newAddress, {
    flags: messageFlags.create | messageFlags.exclusive,
    header: headerOf(link, cidr),
    attributes: {
      local: address,
      address,
      broadcast: broadcastOf(cidr),
      flags: isIpv4(address) ? undefined : addressFlags.noDuplicateDetection,
      protocol: nexusProtocol,
    },
  });
  return { op: `add address ${cidr} to ${linkText(link)}`, request };
}

/** The address a RTM_NEWADDR or RTM_DELADDR message of IPv4 or IPv6 tells of. @throws WireError */
export function readAddress(body: Uint8Array): Address {
  const { header, attributes } = addressBody.decode(body);
  const local = attributes.local ?? attributes.address;
  if (local === undefined) throw new WireError("address", "the address itself is missing");
  if (header.prefixLength > familyBits(ipFamily(local)))
    throw new WireError("address", `${local} cannot have a prefix of ${header.prefixLength} bits`);
  const flags = attributes.flags ?? header.flags;
  const seconds = attributes.lifetimes?.validSeconds;
  return {
    link: header.index,
    cidr: makeCidr(local, header.prefixLength),
    ...(attributes.address === undefined || attributes.address === local ? {} : { peer: attributes.address }),
    ...(attributes.broadcast === undefined ? {} : { broadcast: attributes.broadcast }),
    scope: header.scope,
    ...(attributes.protocol === undefined ? {} : { protocol: attributes.protocol }),
    flags,
    tentative: (flags & addressFlags.tentative) !== 0,
    duplicate: (flags & addressFlags.duplicate) !== 0,
    ...(seconds === undefined || seconds === forever ? {} : { validSeconds: seconds }),
  };
}

const forever = 0xffffffff;

export function familyNumber(family: IpFamily): number {
  return family === 4 ? addressFamily.ipv4 : addressFamily.ipv6;
}

function headerOf(link: LinkRef, cidr: Cidr) {
  return { family: familyNumber(ipFamily(prefixAddress(cidr))), prefixLength: prefixLength(cidr), index: linkIndex(link) };
}

/** IPv4 networks of one or two addresses have none (RFC 3021). */
function broadcastOf(cidr: Cidr): Ip | undefined {
  return isIpv4(prefixAddress(cidr)) && prefixLength(cidr) <= 30 ? ipFromBigint(4, prefixRange(networkOf(cidr)).last) : undefined;
}
