import type { Name } from "../../base/names.ts";
import { unreachable } from "../../base/exhaustive.ts";
import { nameFromText, nameToBytes, labelStarts } from "../../wire/dns/name.ts";
import { classInternet, headerBytes, headerFlag, recordType, responseCode } from "../../wire/dns/numbers.ts";
import type { Query } from "../../wire/dns/query.ts";
import type { ExtendedError, ResponseWriter } from "../../wire/dns/response.ts";
import type { Found, NameEntry, Zones } from "./zone.ts";

/** How a query came and what may be done with it. */
export type Asked = {
  network: Name;
  /** Its address. */
  client: string;
  /** The largest reply it takes. */
  limitBytes: number;
  /** `private`: as "yes", and the upstreams were chosen by someone, so they may know this site's reverse ranges. */
  forward: "no" | "yes" | "private";
};

export type AuthorityOptions = { zones: Zones; writer: ResponseWriter; ttlSeconds: number };

/** Answers what our zones decide: everything but the queries that belong to an upstream. */
export class Authority {
  readonly #zones: Zones;
  readonly #writer: ResponseWriter;
  readonly #ttl: number;
  readonly #startOfAuthority = new Map<Name, Buffer>();
  #turn = 0;

  constructor(options: AuthorityOptions) {
    this.#zones = options.zones;
    this.#writer = options.writer;
    this.#ttl = options.ttlSeconds;
  }

  /** The reply, or undefined when an upstream must say. */
  answer(request: Buffer, query: Query, asked: Asked): Buffer | undefined {
    if (query.ednsVersion !== undefined && query.ednsVersion !== 0) return this.fail(request, query, { code: responseCode.BADVERS, asked });
    if (query.class !== classInternet || refusedTypes.has(query.type))
      return this.fail(request, query, { code: responseCode.REFUSED, asked });
    const found = this.#zones.find(asked.network, query.name, asked.client);
    switch (found.kind) {
      case "name":
        return this.#addresses(request, query, { asked, entry: found });
      case "pointer":
        if (query.type !== recordType.PTR)
          return this.#negative(request, query, { asked, code: responseCode.NOERROR, zoneLabels: found.zoneLabels });
        this.#begin(request, query, { code: responseCode.NOERROR, asked });
        for (const target of found.targets) this.#writer.answer(recordType.PTR, this.#ttl, target);
        return this.#writer.finish(query, asked.limitBytes);
      case "apex":
        return this.#apex(request, query, { asked, found });
      case "empty":
        return this.#negative(request, query, { asked, code: responseCode.NOERROR, zoneLabels: found.zoneLabels });
      case "absent":
        return this.#negative(request, query, { asked, code: responseCode.NXDOMAIN, zoneLabels: found.zoneLabels });
      case "private":
        if (asked.forward === "private") return undefined;
        return this.#negative(request, query, { asked, code: responseCode.NXDOMAIN, zoneLabels: found.zoneLabels });
      case "plain":
        // A guest's short name before it exists is no one else's business; asking for a top level's NS or DS is.
        if (hostTypes.has(query.type)) return this.#negative(request, query, { asked, code: responseCode.NXDOMAIN, zoneLabels: undefined });
        return this.#elsewhere(request, query, asked);
      case "elsewhere":
        return this.#elsewhere(request, query, asked);
      default:
        return unreachable(found);
    }
  }

  /** A reply without records that says why. */
  fail(request: Buffer, query: Query, { code, asked, because }: { code: number; asked: Asked; because?: ExtendedError }): Buffer {
    this.#writer.begin(request, query, { code, flags: recursion(asked), because });
    return this.#writer.finish(query, asked.limitBytes);
  }

  #elsewhere(request: Buffer, query: Query, asked: Asked): Buffer | undefined {
    if (asked.forward !== "no" && (query.flags & headerFlag.RD) !== 0) return undefined;
    return this.fail(request, query, { code: responseCode.REFUSED, asked });
  }

  #addresses(request: Buffer, query: Query, { asked, entry }: { asked: Asked; entry: NameEntry }): Buffer {
    const { v4, v6 } = entry;
    const data = query.type === recordType.A ? v4 : query.type === recordType.AAAA ? v6 : nothing;
    if (data.length === 0) return this.#negative(request, query, { asked, code: responseCode.NOERROR, zoneLabels: this.#zoneOf(query) });
    this.#begin(request, query, { code: responseCode.NOERROR, asked });
    const first = data.length === 1 ? 0 : this.#turn++ % data.length;
    for (let i = 0; i < data.length; i++) this.#writer.answer(query.type, this.#ttl, data[(first + i) % data.length] ?? noBytes);
    return this.#writer.finish(query, asked.limitBytes);
  }

  #apex(request: Buffer, query: Query, { asked, found }: { asked: Asked; found: Extract<Found, { kind: "apex" }> }): Buffer {
    const soa = query.type === recordType.SOA;
    if (!soa && query.type !== recordType.NS)
      return this.#negative(request, query, { asked, code: responseCode.NOERROR, zoneLabels: found.zoneLabels });
    this.#begin(request, query, { code: responseCode.NOERROR, asked });
    this.#writer.answer(query.type, this.#ttl, soa ? this.#authorityData(asked.network) : nameToBytes(this.#gateway(asked.network)));
    return this.#writer.finish(query, asked.limitBytes);
  }

  /** NODATA or NXDOMAIN with the SOA that says how long it holds (RFC 2308 §3). A name outside any zone has none. */
  #negative(request: Buffer, query: Query, reply: { asked: Asked; code: number; zoneLabels: number | undefined }): Buffer {
    this.#begin(request, query, reply);
    if (reply.zoneLabels !== undefined) {
      const starts = labelStarts(query.name);
      const owner = headerBytes + (starts[Math.max(0, starts.length - reply.zoneLabels)] ?? query.name.length);
      this.#writer.authority(owner, { type: recordType.SOA, ttl: this.#ttl, data: this.#authorityData(reply.asked.network) });
    }
    return this.#writer.finish(query, reply.asked.limitBytes);
  }

  #begin(request: Buffer, query: Query, { code, asked }: { code: number; asked: Asked }): void {
    this.#writer.begin(request, query, { code, flags: headerFlag.AA | recursion(asked) });
  }

  /** A full name lies in the domain; a short name is a zone of its own. */
  #zoneOf(query: Query): number {
    return query.name.endsWith(this.#zones.domain) ? labelStarts(this.#zones.domain).length : 1;
  }

  #authorityData(network: Name): Buffer {
    let data = this.#startOfAuthority.get(network);
    if (data === undefined) {
      const numbers = Buffer.alloc(20);
      [0, 3600, 600, 86400, this.#ttl].forEach((value, i) => numbers.writeUInt32BE(value, i * 4));
      data = Buffer.concat([nameToBytes(this.#gateway(network)), nameToBytes(nameFromText("hostmaster") + this.#zones.domain), numbers]);
      this.#startOfAuthority.set(network, data);
    }
    data.writeUInt32BE(this.#zones.serial >>> 0, data.length - 20);
    return data;
  }

  #gateway(network: Name): string {
    return nameFromText(`gateway.${network}`) + this.#zones.domain;
  }
}

const nothing: readonly Uint8Array[] = [];
const noBytes = new Uint8Array(0);
/** ANY is answered with a refusal to be no amplifier (RFC 8482); zone transfers are not offered. */
const refusedTypes: ReadonlySet<number> = new Set([
  recordType.ANY,
  recordType.AXFR,
  recordType.IXFR,
  recordType.MAILA,
  recordType.MAILB,
  recordType.OPT,
]);
const hostTypes: ReadonlySet<number> = new Set([recordType.A, recordType.AAAA, recordType.HTTPS]);

function recursion(asked: Asked): number {
  return asked.forward === "no" ? 0 : headerFlag.RA;
}
