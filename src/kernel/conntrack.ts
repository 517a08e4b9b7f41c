import { WireError } from "../base/errors.ts";
import { type Ip, type IpFamily, ipFamily, isIpv4 } from "../base/ip.ts";
import type { Port, Transport } from "../base/port.ts";
import { familyBits, type Prefix, prefixAddress, prefixContains, prefixFamily, prefixLength } from "../base/prefix.ts";
import { isErrno } from "../sys/errno.ts";
import { filterPart, flowBody, type FlowAttributes, type FlowInput, flowMessage, type FlowTuple } from "../wire/conntrack/flow.ts";
import { familyNumber } from "./addresses.ts";
import { batchIgnoring } from "./batch-steps.ts";
import { BatchRefusal, type NetlinkSocket } from "./netlink-socket.ts";

/** One direction of a flow; ports are absent for protocols without them. */
export type FlowDirection = { source: Ip; destination: Ip; sourcePort?: number; destinationPort?: number };

/** A connection the kernel tracks: `original` as its first packet was, `reply` as answers are; translation is where they differ. */
export type Flow = { protocol: number; original: FlowDirection; reply: FlowDirection; mark: number; timeoutSeconds?: number };

/** Packets that have all of these. A guest behind a published port is the source of `reply`. */
export type FlowFilter = { family: IpFamily; transport?: Transport | undefined; original?: DirectionFilter; reply?: DirectionFilter };
export type DirectionFilter = { readonly [K in keyof FlowDirection]?: FlowDirection[K] | undefined };

/** Ports of the host that are published, `port` to `portEnd`: connections are made to them, on every address unless one is given. */
export type PublishedPorts = { transport: Transport; port: Port; portEnd?: Port; address?: Ip };

/** @throws KernelError */
export function listFlows(nf: NetlinkSocket, filter: FlowFilter): Flow[] {
  return readFlows(nf, filter).map(flowView);
}

/**
 * Forgets the connections made to published ports, so that their next packet meets the present rules: a client that keeps
 * sending UDP from one port would stay with the old guest for ever. About 0.5 ms for a port. @throws KernelError
 */
export function flushPublishedFlows(nf: NetlinkSocket, { transport, port, portEnd = port, address }: PublishedPorts): void {
  const families: IpFamily[] = address === undefined ? [4, 6] : [ipFamily(address)];
  const destination = address === undefined ? {} : { destination: address };
  if (portEnd - port < separatePorts) {
    const ports = Array.from({ length: portEnd - port + 1 }, (_, i) => port + i);
    flush(
      nf,
      families.flatMap((family) => ports.map((destinationPort) => ({ family, transport, original: { ...destination, destinationPort } }))),
    );
    return;
  }
  const isWithin = ({ original }: FlowAttributes): boolean => {
    const at = original?.transport?.destinationPort ?? 0;
    return at >= port && at <= portEnd;
  };
  for (const family of families) forget(nf, readFlows(nf, { family, transport, original: destination }).filter(isWithin));
}

/** Forgets every connection from or to addresses of these prefixes, translated or not: reads all there are, some 12 ms. @throws KernelError */
export function flushPrefixFlows(nf: NetlinkSocket, prefixes: readonly Prefix[]): void {
  // A thousand guests may go at once, and each connection has three addresses to be compared.
  const isOne = (prefix: Prefix): boolean => prefixLength(prefix) === familyBits(prefixFamily(prefix));
  const ones = new Set(prefixes.filter(isOne).map(prefixAddress));
  const wider = prefixes.filter((prefix) => !isOne(prefix));
  const within = (address: Ip): boolean => ones.has(address) || wider.some((prefix) => prefixContains(prefix, address));
  for (const family of new Set(prefixes.map(prefixFamily))) {
    const touched = readFlows(nf, { family }).filter((flow) => {
      const [original, reply] = [directionView(flow.original), directionView(flow.reply)];
      return within(original.source) || within(original.destination) || within(reply.source);
    });
    forget(nf, touched);
  }
}

/** Forgets the connections that began at these addresses, but for those to a kept address and port: reads all there are. @throws KernelError */
export function flushDepartures(nf: NetlinkSocket, sources: readonly Ip[], kept: readonly { source: Ip; address: Ip; port: Port }[]): void {
  const stays = new Set(kept.map(({ source, address, port }) => `${source} ${address} ${port}`));
  const from = new Set(sources);
  for (const family of new Set(sources.map(ipFamily))) {
    const begun = readFlows(nf, { family }).filter((flow) => {
      const { source, destination, destinationPort } = directionView(flow.original);
      return from.has(source) && !stays.has(`${source} ${destination} ${destinationPort}`);
    });
    forget(nf, begun);
  }
}

/** Forgets every connection from or to a guest, translated or not: before its address is another's. About 1 ms for IPv4. @throws KernelError */
export function flushGuestFlows(nf: NetlinkSocket, address: Ip): void {
  const family = ipFamily(address);
  const filters: FlowFilter[] = [
    { family, original: { source: address } },
    { family, original: { destination: address } },
    { family, reply: { source: address } },
  ];
  if (family === 4) flush(nf, filters);
  else
    forget(
      nf,
      readFlows(nf, { family }).filter((flow) => filters.some((filter) => isMatch(flow, filter))),
    );
}

/** The kernel filters by one port; above this many, reading all connections of the protocol and comparing is cheaper. */
const separatePorts = 16;

/** Kernels before 6.11 refuse to delete by filter, and never delete more than asked: for them a tuple without all its parts is wrong. */
function flush(nf: NetlinkSocket, filters: readonly FlowFilter[]): void {
  const [known, others] = [filters.filter(isKnownToKernel), filters.filter((filter) => !isKnownToKernel(filter))];
  // With version 0 the kernel would disregard the family.
  const requests = known.map((filter) =>
    flowBody.request(flowMessage.delete, { header: { family: familyNumber(filter.family), version: 1 }, attributes: filterInput(filter) }),
  );
  try {
    nf.batch("forget tracked connections", requests);
  } catch (error) {
    if (!(error instanceof BatchRefusal)) throw error;
    error.results.forEach(({ refusal }, i) => {
      if (refusal === undefined) return;
      if (!isErrno(refusal, "EINVAL", "EOPNOTSUPP")) throw refusal;
      others.push(known[i] as FlowFilter);
    });
  }
  for (const filter of others) forget(nf, readFlows(nf, filter));
}

/** Linux 6.18 and before compare IPv6 addresses the wrong way round: the filter lets through all but the ones that are wanted. */
function isKnownToKernel({ family, original = {}, reply = {} }: FlowFilter): boolean {
  return family === 4 || [original.source, original.destination, reply.source, reply.destination].every((address) => address === undefined);
}

/** What the kernel does not filter, all of it before 5.8, is filtered here. */
function readFlows(nf: NetlinkSocket, filter: FlowFilter): FlowAttributes[] {
  const { family, transport, original = {} } = filter;
  const ported = { sourcePort: original.sourcePort, destinationPort: original.destinationPort };
  const attributes = filterInput(isKnownToKernel(filter) ? filter : { family, transport, original: ported });
  const request = flowBody.request(flowMessage.get, { header: { family: familyNumber(family) }, attributes });
  const found = nf.dump("list tracked connections", request).filter((message) => message.type === flowMessage.new);
  return found.map((message) => flowBody.decode(message.body).attributes).filter((flow) => isMatch(flow, filter));
}

function filterInput({ transport, original = {}, reply }: FlowFilter): FlowInput {
  const protocol = transport === undefined ? undefined : protocolNumber[transport];
  const parts = { original: partsOf(original, protocol), reply: reply === undefined ? 0 : partsOf(reply, protocol) };
  return {
    original: parts.original === 0 ? undefined : tupleOf(original, protocol),
    reply: reply === undefined || parts.reply === 0 ? undefined : tupleOf(reply, protocol),
    filter: parts.original + parts.reply === 0 ? undefined : parts,
  };
}

function isMatch(flow: FlowAttributes, { transport, original = {}, reply = {} }: FlowFilter): boolean {
  const protocol = transport === undefined ? undefined : protocolNumber[transport];
  if (protocol !== undefined && flow.original?.transport?.number !== protocol) return false;
  return hasAll(flow.original, original) && hasAll(flow.reply, reply);
}

function hasAll(tuple: FlowTuple | undefined, wanted: DirectionFilter): boolean {
  const is = directionView(tuple);
  return (Object.keys(wanted) as (keyof FlowDirection)[]).every((name) => wanted[name] === undefined || wanted[name] === is[name]);
}

/** With the id, a new connection that took the place of one we saw is spared. */
function forget(nf: NetlinkSocket, flows: readonly FlowAttributes[]): void {
  const steps = flows.map((flow) => ({
    op: "forget a tracked connection",
    request: flowBody.request(flowMessage.delete, {
      header: { family: familyNumber(flow.original?.addresses?.source6 === undefined ? 4 : 6) },
      attributes: { original: flow.original, zone: flow.zone, id: flow.id },
    }),
  }));
  batchIgnoring(nf, steps, ["ENOENT"]);
}

/** IP protocol numbers (IANA). */
const protocolNumber: Readonly<Record<Transport, number>> = { tcp: 6, udp: 17 };

function tupleOf(wanted: DirectionFilter, protocol: number | undefined): NonNullable<FlowInput["original"]> {
  const { source, destination, sourcePort, destinationPort } = wanted;
  return {
    addresses: {
      source4: source !== undefined && isIpv4(source) ? source : undefined,
      source6: source !== undefined && !isIpv4(source) ? source : undefined,
      destination4: destination !== undefined && isIpv4(destination) ? destination : undefined,
      destination6: destination !== undefined && !isIpv4(destination) ? destination : undefined,
    },
    transport: protocol === undefined ? undefined : { number: protocol, sourcePort, destinationPort },
  };
}

/** The kernel compares ports only of a given protocol. */
function partsOf(wanted: DirectionFilter, protocol: number | undefined): number {
  let parts = 0;
  if (wanted.source !== undefined) parts |= filterPart.source;
  if (wanted.destination !== undefined) parts |= filterPart.destination;
  if (protocol === undefined) return parts;
  parts |= filterPart.protocol;
  if (wanted.sourcePort !== undefined) parts |= filterPart.sourcePort;
  if (wanted.destinationPort !== undefined) parts |= filterPart.destinationPort;
  return parts;
}

function flowView(flow: FlowAttributes): Flow {
  return {
    protocol: flow.original?.transport?.number ?? 0,
    original: directionView(flow.original),
    reply: directionView(flow.reply),
    mark: flow.mark ?? 0,
    ...(flow.timeoutSeconds === undefined ? {} : { timeoutSeconds: flow.timeoutSeconds }),
  };
}

function directionView(tuple: FlowTuple | undefined): FlowDirection {
  const source = tuple?.addresses?.source4 ?? tuple?.addresses?.source6;
  const destination = tuple?.addresses?.destination4 ?? tuple?.addresses?.destination6;
  if (source === undefined || destination === undefined) throw new WireError("flow", "an address is missing");
  const { sourcePort, destinationPort } = tuple?.transport ?? {};
  return {
    source,
    destination,
    ...(sourcePort === undefined ? {} : { sourcePort }),
    ...(destinationPort === undefined ? {} : { destinationPort }),
  };
}
