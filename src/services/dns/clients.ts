import { type Ip, ipFamily, ipToBigint, parseIp } from "../../base/ip.ts";
import type { Name } from "../../base/names.ts";
import { familyBits, type Prefix, prefixAddress, prefixFamily, prefixLength } from "../../base/prefix.ts";

/** Whose a query is. `own` may be served as a guest of that network, `listener` as one of the listener's, `nobody` not at all. */
export type Client = { kind: "own"; network: Name } | { kind: "listener" | "nobody" };

/**
 * Says by a client's address which network it belongs to: a guest can send to the gateway of any network it reaches, so
 * where a query arrived says nothing of who asks. An answer is one Map read; a change of the networks forgets them all.
 */
export class Clients {
  readonly #prefixes = new Map<Name, readonly Prefix[]>();
  /** By family and length, then by the bits the prefix fixes. */
  #index: Range[] = [];
  readonly #known = new Map<string, Client>();

  set(network: Name, prefixes: readonly Prefix[]): void {
    this.#prefixes.set(network, prefixes);
    this.#changed();
  }

  remove(network: Name): void {
    if (this.#prefixes.delete(network)) this.#changed();
  }

  of(client: string): Client {
    const known = this.#known.get(client);
    if (known !== undefined) return known;
    const found = this.#find(client);
    // Sources of UDP can be forged, so there may be any number of them.
    if (this.#known.size >= maxKnown) this.#known.clear();
    this.#known.set(client, found);
    return found;
  }

  #find(client: string): Client {
    // A link-local source means whatever link it came by: taken for the listener's guest, any neighbour could be one.
    if (/^fe[89ab]/i.test(client)) return { kind: "nobody" };
    const address = parseIp(client);
    if (address === undefined) return { kind: "nobody" };
    for (const range of this.#index) {
      const network = range.family === ipFamily(address) ? range.networks.get(fixedBits(address, range.length)) : undefined;
      if (network !== undefined) return { kind: "own", network };
    }
    return { kind: "listener" };
  }

  #changed(): void {
    this.#known.clear();
    const ranges = new Map<string, Range>();
    for (const [network, prefixes] of this.#prefixes) {
      for (const prefix of prefixes) {
        const family = prefixFamily(prefix);
        const length = prefixLength(prefix);
        const range = ranges.get(`${family}/${length}`) ?? { family, length, networks: new Map<bigint, Name>() };
        range.networks.set(fixedBits(prefixAddress(prefix), length), network);
        ranges.set(`${family}/${length}`, range);
      }
    }
    this.#index = [...ranges.values()].toSorted((a, b) => b.length - a.length);
  }
}

type Range = { family: 4 | 6; length: number; networks: Map<bigint, Name> };

const maxKnown = 8192;

function fixedBits(address: Ip, length: number): bigint {
  return ipToBigint(address) >> BigInt(familyBits(ipFamily(address)) - length);
}
