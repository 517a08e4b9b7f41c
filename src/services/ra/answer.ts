import type { Ipv6 } from "../../base/ipv6.ts";
import { type Dhcp6Message, dhcp6OptionOf, dhcp6Status, dhcp6Type } from "../../wire/dhcp6/message.ts";
import { type Dhcp6Option, dhcp6Option } from "../../wire/dhcp6/options.ts";
import { isOnLink, type RaGuest, type RaNetwork, resolversOf, searchOf } from "./network.ts";

/** Who is asked and who asks. `multicast`: the request came the way it should. */
export type Dhcp6Asked = { network: RaNetwork; guest: RaGuest; serverDuid: Uint8Array; multicast: boolean };

/** The answer of RFC 8415 §18.3 to a known client, or undefined when the request is to be passed over. */
export function answerDhcp6(request: Dhcp6Message, asked: Dhcp6Asked): Dhcp6Message | undefined {
  if (!isWellFormed(request, asked.serverDuid)) return undefined;
  if (!asked.multicast) return answerUnicast(request, asked);
  switch (request.type) {
    case dhcp6Type.solicit:
      return answerSolicit(request, asked);
    case dhcp6Type.request:
      return reply(request, asked, [...associations(request, asked, requestAddress), ...settings(request, asked)]);
    case dhcp6Type.renew:
    case dhcp6Type.rebind:
      return reply(request, asked, [...associations(request, asked, extendAddress), ...settings(request, asked)]);
    case dhcp6Type.confirm:
      return confirm(request, asked);
    case dhcp6Type.release:
    case dhcp6Type.decline:
      return reply(request, asked, [status(dhcp6Status.success, "noted"), ...strangersOf(request, asked)]);
    case dhcp6Type.informationRequest:
      return reply(request, asked, [...settings(request, asked), ...refresh(request, asked)]);
    default:
      return undefined;
  }
}

type Association = Extract<Dhcp6Option, { kind: "non-temporary" }>;
/** What goes into one IA_NA of the answer. */
type Fill = (association: Association, asked: Dhcp6Asked, address: Ipv6) => Dhcp6Option[];

/** RFC 8415 §16: who must be named, and who must not be. */
function isWellFormed(request: Dhcp6Message, serverDuid: Uint8Array): boolean {
  const client = dhcp6OptionOf(request.options, "client-id");
  const server = dhcp6OptionOf(request.options, "server-id");
  const isOurs = server !== undefined && Buffer.compare(server.duid, serverDuid) === 0;
  switch (request.type) {
    case dhcp6Type.solicit:
    case dhcp6Type.confirm:
    case dhcp6Type.rebind:
      return client !== undefined && server === undefined;
    case dhcp6Type.request:
    case dhcp6Type.renew:
    case dhcp6Type.release:
    case dhcp6Type.decline:
      return client !== undefined && isOurs;
    case dhcp6Type.informationRequest:
      return (server === undefined || isOurs) && !request.options.some(isAssociation);
    default:
      return false;
  }
}

/** RFC 8415 §16 and §18.4: without leave to send by unicast, those who name us are told so and the others not heard. */
function answerUnicast(request: Dhcp6Message, asked: Dhcp6Asked): Dhcp6Message | undefined {
  if (dhcp6OptionOf(request.options, "server-id") === undefined || request.type === dhcp6Type.informationRequest) return undefined;
  return reply(request, asked, [status(dhcp6Status.useMulticast, "ask by multicast")]);
}

function answerSolicit(request: Dhcp6Message, asked: Dhcp6Asked): Dhcp6Message {
  const options = [...associations(request, asked, grantAddress), ...settings(request, asked)];
  const rapid = dhcp6OptionOf(request.options, "rapid-commit");
  if (rapid !== undefined) return reply(request, asked, [rapid, ...options]);
  // The highest preference: the client need not wait for other servers (RFC 8415 §18.2.1).
  return { ...reply(request, asked, [{ kind: "preference", value: 255 }, ...options]), type: dhcp6Type.advertise };
}

/** Only whoever still has the very address decided for it may keep it, although any of the link would satisfy RFC 8415 §18.3.3. */
function confirm(request: Dhcp6Message, asked: Dhcp6Asked): Dhcp6Message | undefined {
  const addresses = request.options.filter(isNonTemporary).flatMap(addressesOf);
  if (addresses.length === 0) return undefined;
  const right = addresses.every((address) => address === assigned(asked));
  const outcome = right ? status(dhcp6Status.success, "") : status(dhcp6Status.notOnLink, "the address is another now");
  return reply(request, asked, [outcome]);
}

/** The guest's address goes to the first association of its kind; whatever else is wanted is not to be had. */
function associations(request: Dhcp6Message, asked: Dhcp6Asked, fill: Fill): Dhcp6Option[] {
  let address = assigned(asked);
  return request.options.filter(isAssociation).map((association): Dhcp6Option => {
    if (association.kind === "prefixes")
      return {
        ...association,
        renewSeconds: 0,
        rebindSeconds: 0,
        options: [status(dhcp6Status.noPrefix, "no prefixes are delegated here")],
      };
    if (association.kind === "temporary") return { ...association, options: [noAddress] };
    const given = address;
    address = undefined;
    const { leaseSeconds } = asked.network;
    const [renewSeconds, rebindSeconds] = given === undefined ? [0, 0] : [leaseSeconds * 0.5, leaseSeconds * 0.8].map(Math.floor);
    return {
      ...association,
      renewSeconds: renewSeconds ?? 0,
      rebindSeconds: rebindSeconds ?? 0,
      options: given === undefined ? [noAddress] : fill(association, asked, given),
    };
  });
}

const grantAddress: Fill = (_association, asked, address) => [lease(address, asked.network.leaseSeconds)];

/** A client that brings an address from another link must begin anew (RFC 8415 §18.3.2). */
const requestAddress: Fill = (association, asked, address) =>
  addressesOf(association).every((wanted) => isOnLink(asked.network, wanted))
    ? [lease(address, asked.network.leaseSeconds)]
    : [status(dhcp6Status.notOnLink, "the address is of another link")];

/** Addresses the client should no longer use come back with no time left (RFC 8415 §18.3.4). */
const extendAddress: Fill = (association, asked, address) => [
  lease(address, asked.network.leaseSeconds),
  ...addressesOf(association)
    .filter((old) => old !== address)
    .map((old) => lease(old, 0)),
];

function strangersOf(request: Dhcp6Message, asked: Dhcp6Asked): Dhcp6Option[] {
  return request.options
    .filter(isNonTemporary)
    .filter((association) => addressesOf(association).some((address) => address !== assigned(asked)))
    .map((association) => ({
      ...association,
      renewSeconds: 0,
      rebindSeconds: 0,
      options: [status(dhcp6Status.noBinding, "the address is not this client's")],
    }));
}

function assigned({ network, guest }: Dhcp6Asked): Ipv6 | undefined {
  const { address } = guest;
  return network.addressing === "stateful" && address !== undefined && isOnLink(network, address) ? address : undefined;
}

/** Resolvers and domains, unless the client lists what it wants and they are not on the list. */
function settings(request: Dhcp6Message, { network }: Dhcp6Asked): Dhcp6Option[] {
  const out: Dhcp6Option[] = [];
  const servers = resolversOf(network);
  const domains = searchOf(network);
  if (servers.length > 0 && wants(request, dhcp6Option.dnsServers)) out.push({ kind: "dns-servers", servers });
  if (domains.length > 0 && wants(request, dhcp6Option.domains)) out.push({ kind: "domains", domains });
  return out;
}

/** RFC 8415 §21.23: no less than ten minutes. */
function refresh(request: Dhcp6Message, { network }: Dhcp6Asked): Dhcp6Option[] {
  return wants(request, dhcp6Option.refresh) ? [{ kind: "refresh", seconds: Math.max(600, network.leaseSeconds) }] : [];
}

function wants(request: Dhcp6Message, code: number): boolean {
  return dhcp6OptionOf(request.options, "option-request")?.codes.includes(code) ?? true;
}

function reply(request: Dhcp6Message, { serverDuid }: Dhcp6Asked, options: readonly Dhcp6Option[]): Dhcp6Message {
  const client = dhcp6OptionOf(request.options, "client-id");
  const names: Dhcp6Option[] = [...(client === undefined ? [] : [client]), { kind: "server-id", duid: serverDuid }];
  return { type: dhcp6Type.reply, transaction: request.transaction, options: [...names, ...options] };
}

function lease(address: Ipv6, seconds: number): Dhcp6Option {
  return { kind: "address", address, preferredSeconds: seconds, validSeconds: seconds, options: [] };
}

function status(code: number, text: string): Dhcp6Option {
  return { kind: "status", code, text };
}

function addressesOf(association: Association): Ipv6[] {
  return association.options.flatMap((option) => (option.kind === "address" ? [option.address] : []));
}

function isAssociation(option: Dhcp6Option): option is Extract<Dhcp6Option, { kind: "non-temporary" | "temporary" | "prefixes" }> {
  return option.kind === "non-temporary" || option.kind === "temporary" || option.kind === "prefixes";
}

function isNonTemporary(option: Dhcp6Option): option is Association {
  return option.kind === "non-temporary";
}

const noAddress = status(dhcp6Status.noAddress, "no address is to be had here");
