import { ipv4FromNumber, type Ipv4 } from "../../base/ipv4.ts";
import { makePrefix, prefixLength, prefixRange } from "../../base/prefix.ts";
import { type DhcpOptionName, type DhcpOptions, type DhcpOptionValue, optionCode, writeOption } from "../../wire/dhcp/options.ts";
import { optionsBytes } from "../../wire/dhcp/message.ts";
import { type DhcpGuest, type DhcpNetwork, type DhcpSubnet, subnetOf } from "./network.ts";

/** What an answer's options are made of. */
export type ReplyInput = {
  type: number;
  serverId: Ipv4;
  /** Codes the client wants; undefined when it did not say. */
  parameters: Uint8Array | undefined;
  /** Room for options, the end option not counted. */
  limitBytes: number;
  /** Given back as they came. */
  echo: DhcpOptions;
};

/** One guest's address with all it may be told, in bytes already: the same for every request. */
export type Lease = {
  address: Ipv4;
  gateway: Ipv4;
  mtuBytes: number;
  seconds: number;
  settings: DhcpOptions;
};

/** Undefined when the guest's address lies in no subnet of the network. @throws WireError when a setting has no form on the wire */
export function makeLease(network: DhcpNetwork, guest: DhcpGuest): Lease | undefined {
  const subnet = subnetOf(network, guest.address);
  if (subnet === undefined) return undefined;
  const { mtuBytes, leaseSeconds: seconds } = network;
  return { address: guest.address, gateway: subnet.gateway, mtuBytes, seconds, settings: settings(network, guest, subnet) };
}

/**
 * Options of an answer with settings: first what every client needs, then what it asked for in its own order, as far as
 * there is room. `leaseSeconds` is absent where no address is given (DHCPINFORM).
 */
export function replyOptions(input: ReplyInput, lease: Lease, leaseSeconds: number | undefined): Map<number, Uint8Array> {
  const options = bareOptions(input);
  if (leaseSeconds !== undefined) {
    writeOption(options, "leaseSeconds", leaseSeconds);
    writeOption(options, "renewalSeconds", Math.floor(leaseSeconds * 0.5));
    writeOption(options, "rebindingSeconds", Math.floor(leaseSeconds * 0.875));
  }
  const offered = lease.settings;
  // RFC 2131 §4.3.1 wants the mask before the router; RFC 2132 §9.8 the client's order otherwise.
  const wanted = input.parameters === undefined ? [...offered.keys()] : [optionCode("subnetMask"), ...input.parameters];
  let left = input.limitBytes - optionsBytes(options) - optionsBytes(input.echo);
  for (const code of wanted) {
    const data = offered.get(code);
    if (data === undefined || options.has(code)) continue;
    const size = optionsBytes(new Map([[code, data]]));
    if (size > left) continue;
    options.set(code, data);
    left -= size;
  }
  return withEcho(options, input);
}

/** The options of a refusal: no settings (RFC 2131 table 3). */
export function refusalOptions(input: ReplyInput, why: string): Map<number, Uint8Array> {
  const options = bareOptions(input);
  writeOption(options, "message", why);
  return withEcho(options, input);
}

function bareOptions(input: ReplyInput): Map<number, Uint8Array> {
  const options = new Map<number, Uint8Array>();
  writeOption(options, "messageType", input.type);
  writeOption(options, "serverId", input.serverId);
  return options;
}

/** RFC 3046 §2.2 wants the relay's own option last. */
function withEcho(options: Map<number, Uint8Array>, { echo }: ReplyInput): Map<number, Uint8Array> {
  for (const [code, data] of echo) options.set(code, data);
  return options;
}

function settings(network: DhcpNetwork, guest: DhcpGuest, subnet: DhcpSubnet): DhcpOptions {
  const out = new Map<number, Uint8Array>();
  const set = <Name extends DhcpOptionName>(name: Name, value: DhcpOptionValue<Name> | undefined): void => {
    if (value !== undefined) writeOption(out, name, value);
  };
  const hasDefault = network.defaultRoute !== false && guest.defaultRoute !== false;
  const { first, last } = prefixRange(subnet.prefix);
  const bits = prefixLength(subnet.prefix);
  const dns = network.dns ?? [subnet.gateway];
  const search = network.search ?? (network.domain === "" ? [] : [network.domain]);
  set("subnetMask", ipv4FromNumber(Number(0xffffffffn - (last - first))));
  set("routers", hasDefault ? [subnet.gateway] : undefined);
  set("dnsServers", dns.length === 0 ? undefined : dns);
  set("hostname", guest.hostname === "" ? undefined : guest.hostname);
  set("domain", network.domain === "" ? undefined : network.domain);
  set("mtuBytes", network.mtuBytes);
  set("broadcast", bits > 30 ? undefined : ipv4FromNumber(Number(last)));
  set("search", search.length === 0 ? undefined : search);
  const routes = [...(network.routes ?? [])];
  // Clients that take this option leave `routers` aside (RFC 3442), so the default route is in both.
  if (hasDefault) routes.push({ destination: makePrefix(anyAddress, 0), via: subnet.gateway });
  set("classlessRoutes", routes.length === 0 ? undefined : routes);
  return out;
}

export const anyAddress = ipv4FromNumber(0);
export const everyAddress = ipv4FromNumber(0xffffffff);
