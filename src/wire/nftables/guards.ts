import { WireError } from "../../base/errors.ts";
import { unreachable } from "../../base/exhaustive.ts";
import { numberOf } from "./datatypes.ts";
import type { Load } from "./fields.ts";
import type { Family, Field, Statement } from "./model.ts";

/** What a field asks of the packet: `ip saddr` means nothing unless the packet is IPv4. */
export type Need = "ethernet" | "ipv4" | "ipv6" | "arp" | "icmp" | "icmpv6" | "tcp" | "nd-source-option" | "nd-target-option";

/** One test put before a field, with the text that nft would need if it did not add the test itself. */
export type Guard = { about: Topic; value: number; load: Load; data: Uint8Array; text: string };

type Topic = "link" | "l3" | "l4" | "nd-option";

/** What earlier matches of one rule have settled, so that no guard is given twice. */
export class Settled {
  readonly #facts = new Map<Topic, number>();

  /**
   * The guards still missing for these needs, in the order nft gives them; they count as settled afterwards.
   * @throws WireError when a need contradicts the family or what the rule has already matched
   */
  require(needs: readonly Need[], family: Family): Guard[] {
    const missing: Guard[] = [];
    for (const guard of needs.flatMap((need) => guardsFor(need, family))) {
      const known = this.#facts.get(guard.about);
      if (known === guard.value) continue;
      if (known !== undefined) throw new WireError("nftables rule", `needs "${guard.text}" but has matched another ${guard.about} before`);
      this.#facts.set(guard.about, guard.value);
      missing.push(guard);
    }
    return missing;
  }

  /** Records what a rule's own match says, as in `meta nfproto ipv4 ip saddr 10.0.0.1`. */
  learn(statement: Statement): void {
    if (statement.kind !== "match" || statement.op !== "==" || statement.mask !== undefined) return;
    const value = Array.isArray(statement.value) && statement.value.length === 1 ? statement.value[0] : statement.value;
    if (typeof value !== "string" && typeof value !== "number") return;
    const fact = factOf(statement.field, value);
    if (fact !== undefined) this.#facts.set(fact.about, fact.value);
  }
}

const etherTypes = { ipv4: 0x0800, ipv6: 0x86dd, arp: 0x0806 } as const;
const nfProtocols = { ipv4: 2, ipv6: 10 } as const;

function factOf(field: Field, value: string | number): { about: Topic; value: number } | undefined {
  if (field === "ether type") return { about: "l3", value: numberOf(value, "ether_type") };
  if (field === "l4proto" || field === "ip protocol") return { about: "l4", value: numberOf(value, "inet_proto") };
  if (field !== "nfproto") return undefined;
  const number = numberOf(value, "nf_proto");
  return { about: "l3", value: number === nfProtocols.ipv4 ? etherTypes.ipv4 : number === nfProtocols.ipv6 ? etherTypes.ipv6 : number };
}

function guardsFor(need: Need, family: Family): Guard[] {
  switch (need) {
    case "ethernet":
      return family === "bridge" || family === "netdev"
        ? []
        : [{ about: "link", value: 1, load: { kind: "meta", key: "iiftype" }, data: Uint8Array.of(1, 0), text: "meta iiftype ether" }];
    case "ipv4":
    case "ipv6":
    case "arp":
      return layer3(need, family, need === "arp" ? "ether type" : "meta protocol");
    case "icmp":
      return [...layer3("ipv4", family, "ether type"), layer4(1, "icmp")];
    case "icmpv6":
      return [...layer3("ipv6", family, "ether type"), layer4(58, "ipv6-icmp")];
    case "tcp":
      return [layer4(6, "tcp")];
    case "nd-source-option":
      return [ndOption(1)];
    case "nd-target-option":
      return [ndOption(2)];
    default:
      return unreachable(need);
  }
}

/** In bridge and netdev tables nft asks the frame's type field for ARP and ICMP, and the kernel's idea of the protocol for addresses. */
function layer3(protocol: keyof typeof etherTypes, family: Family, how: "ether type" | "meta protocol"): Guard[] {
  const value = etherTypes[protocol];
  const own = { ip: "ipv4", ip6: "ipv6", arp: "arp" } as const;
  if (family === "ip" || family === "ip6" || family === "arp") {
    if (own[family] === protocol) return [];
    throw new WireError("nftables rule", `a packet in a table of family ${family} is never ${protocol}`);
  }
  if (family === "inet") {
    if (protocol === "arp") throw new WireError("nftables rule", "a packet in a table of family inet is never arp");
    return [
      {
        about: "l3",
        value,
        load: { kind: "meta", key: "nfproto" },
        data: Uint8Array.of(nfProtocols[protocol]),
        text: `meta nfproto ${protocol}`,
      },
    ];
  }
  const load: Load = how === "ether type" ? { kind: "payload", base: "link", offset: 12, length: 2 } : { kind: "meta", key: "protocol" };
  const name = { ipv4: "ip", ipv6: "ip6", arp: "arp" }[protocol];
  return [{ about: "l3", value, load, data: Uint8Array.of(value >> 8, value & 255), text: `${how} ${name}` }];
}

function layer4(value: number, name: string): Guard {
  return { about: "l4", value, load: { kind: "meta", key: "l4proto" }, data: Uint8Array.of(value), text: `meta l4proto ${name}` };
}

/** RFC 4861 §4.6.1: type of the link-layer address option, and its length of one 8-byte unit. */
function ndOption(type: number): Guard {
  return {
    about: "nd-option",
    value: type,
    load: { kind: "payload", base: "transport", offset: 24, length: 2 },
    data: Uint8Array.of(type, 1),
    text: `@th,192,16 0x0${type}01`,
  };
}
