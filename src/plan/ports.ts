import { NexusError } from "../base/errors.ts";
import { type Ip, isIpv4, isUnspecified } from "../base/ip.ts";
import type { Port, Transport } from "../base/port.ts";
import type { PublishSpec } from "../spec/node.ts";

/** One claimed range of host ports. `by` says who has it, in words. */
export type PortClaim = { protocol: Transport; hostAddress?: Ip | undefined; hostPort: Port; hostPortEnd?: Port | undefined; by: string };

/** Which host ports are published and by whom: an index over what state keeps, 64 ports to a bucket. */
export class PortTable {
  readonly #buckets = new Map<number, Set<PortClaim>>();

  /** The first claim of somebody else that shares a port, protocol and address with this one. */
  conflict(wanted: PublishSpec, by: string): PortClaim | undefined {
    for (const bucket of bucketsOf(wanted)) {
      for (const claim of this.#buckets.get(bucket) ?? []) if (claim.by !== by && overlaps(claim, wanted)) return claim;
    }
    return undefined;
  }

  add(claim: PortClaim): void {
    for (const bucket of bucketsOf(claim)) {
      const claims = this.#buckets.get(bucket);
      if (claims === undefined) this.#buckets.set(bucket, new Set([claim]));
      else claims.add(claim);
    }
  }

  /** Takes the very object that was added. */
  delete(claim: PortClaim): void {
    for (const bucket of bucketsOf(claim)) {
      const claims = this.#buckets.get(bucket);
      if (claims?.delete(claim) === true && claims.size === 0) this.#buckets.delete(bucket);
    }
  }
}

/**
 * Claims every publish of one guest, or none of them. Keep the claims and delete them when the guest goes.
 * @throws NexusError port-taken naming the holder, which may be the guest itself
 */
export function claimPorts(table: PortTable, by: string, publishes: readonly PublishSpec[]): PortClaim[] {
  const claims: PortClaim[] = [];
  for (const publish of publishes) {
    const twin = claims.find((claim) => overlaps(claim, publish));
    const holder = twin ?? table.conflict(publish, by);
    if (holder !== undefined) throw taken(publish, holder, twin !== undefined);
    claims.push({
      protocol: publish.protocol,
      hostAddress: publish.hostAddress,
      hostPort: publish.hostPort,
      hostPortEnd: publish.hostPortEnd,
      by,
    });
  }
  for (const claim of claims) table.add(claim);
  return claims;
}

/** `udp port 127.0.0.1:53`, `tcp ports 8000-8010`. */
export function portText(p: Omit<PortClaim, "by">): string {
  const several = isRange(p);
  const host = p.hostAddress === undefined ? "" : isIpv4(p.hostAddress) ? `${p.hostAddress}:` : `[${p.hostAddress}]:`;
  return `${p.protocol} ${several ? "ports" : "port"} ${host}${p.hostPort}${several ? `-${p.hostPortEnd}` : ""}`;
}

function isRange(p: Pick<PortClaim, "hostPort" | "hostPortEnd">): boolean {
  return p.hostPortEnd !== undefined && p.hostPortEnd !== p.hostPort;
}

function taken(wanted: PublishSpec, holder: PortClaim, own: boolean): NexusError {
  const are = isRange(wanted) ? "are" : "is";
  const text = own
    ? `${portText(wanted)} ${are} published twice by ${holder.by}`
    : `${portText(wanted)} ${are} published by ${holder.by} (${portText(holder)})`;
  return new NexusError("port-taken", text, {
    hint: own ? "publish each host port once" : "choose another host port, or one host address of its own",
    details: { wanted: { ...wanted }, holder: { ...holder } },
  });
}

type PortSpan = Pick<PortClaim, "protocol" | "hostAddress" | "hostPort" | "hostPortEnd">;

function overlaps(a: PortSpan, b: PortSpan): boolean {
  return (
    a.protocol === b.protocol &&
    a.hostPort <= (b.hostPortEnd ?? b.hostPort) &&
    b.hostPort <= (a.hostPortEnd ?? a.hostPort) &&
    sameAddress(a.hostAddress, b.hostAddress)
  );
}

/** No address means every address of both families; 0.0.0.0 and :: mean every one of theirs. */
function sameAddress(a: Ip | undefined, b: Ip | undefined): boolean {
  if (a === undefined || b === undefined || a === b) return true;
  if (isIpv4(a) !== isIpv4(b)) return false;
  return isUnspecified(a) || isUnspecified(b);
}

function* bucketsOf(span: PortSpan): Generator<number> {
  const base = span.protocol === "tcp" ? 0 : 1024;
  for (let bucket = span.hostPort >> 6; bucket <= (span.hostPortEnd ?? span.hostPort) >> 6; bucket++) yield base + bucket;
}
