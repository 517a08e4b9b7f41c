import { Reader } from "../wire/netlink/bytes.ts";
import { attributeTable } from "../wire/netlink/attributes.ts";
import { bareString } from "../wire/netlink/codecs.ts";
import type { Expression } from "../wire/nftables/expression.ts";
import { baseOf, type ObservedBase } from "../wire/nftables/hooks.ts";
import type { Family } from "../wire/nftables/model.ts";
import type { FirewallReader } from "./firewall-reader.ts";

/** A base chain of anybody, with what decides over packets no rule of it has judged. */
export type BaseChain = ObservedBase & {
  family: Family;
  table: string;
  name: string;
  /** Port id of the socket the table belongs to, when it has an owner. */
  owner: number | undefined;
  /** The products whose names the table and its chains bear: "Docker", "ufw", "firewalld". */
  products: string[];
  /** What its last rule does to every packet that gets there; a policy acts after it. */
  end: "drop" | "reject" | undefined;
};

/** All base chains of all families, to find who drops what we let through. @throws KernelError, WireError */
export function surveyBaseChains(reader: FirewallReader): BaseChain[] {
  return reader.steadily(() => {
    const owners = new Map(reader.tables().map(({ family, attributes }) => [`${family} ${attributes.name}`, attributes.owner]));
    const chains = reader.chains("any");
    const names = new Map<string, string[]>();
    for (const { family, attributes } of chains) {
      const key = `${family} ${attributes.table}`;
      names.set(key, [...(names.get(key) ?? []), attributes.name ?? ""]);
    }
    const found: BaseChain[] = [];
    for (const { family, attributes } of chains) {
      const { table, name } = attributes;
      const base = family === undefined ? undefined : baseOf(family, attributes);
      if (family === undefined || base === undefined || table === undefined || name === undefined) continue;
      const key = `${family} ${table}`;
      const last = reader.rules(family, { table, chain: name }).at(-1);
      found.push({
        ...base,
        family,
        table,
        name,
        owner: owners.get(key),
        products: productsOf(table, names.get(key) ?? []),
        end: endOf(last?.expressions ?? []),
      });
    }
    return found;
  });
}

/** By the names they give tables and chains, in native nf_tables and through iptables-nft. */
const products: readonly { name: string; table?: RegExp; chain?: RegExp }[] = [
  { name: "Docker", table: /^docker-bridges$/, chain: /^DOCKER(-|$)/ },
  { name: "ufw", chain: /^ufw6?-/ },
  { name: "firewalld", table: /^firewalld/ },
  { name: "libvirt", table: /^libvirt_network$/, chain: /^LIBVIRT_/ },
  { name: "Podman", table: /^netavark$/, chain: /^NETAVARK_/ },
  { name: "Kubernetes", table: /^kube-proxy$/, chain: /^KUBE-/ },
  { name: "Incus", table: /^incus$/ },
  { name: "LXD", table: /^lxd$/ },
  { name: "CNI", table: /^cni_/, chain: /^CNI-/ },
  { name: "Tailscale", chain: /^ts-(input|forward|postrouting)$/ },
];

function productsOf(table: string, chains: readonly string[]): string[] {
  return products
    .filter((product) => product.table?.test(table) === true || chains.some((chain) => product.chain?.test(chain) === true))
    .map(({ name }) => name);
}

/** Counting and logging let a packet go on; anything else before the end makes the rule a condition. */
function endOf(expressions: readonly Expression[]): "drop" | "reject" | undefined {
  const acts = expressions.filter(({ kind }) => kind !== "counter" && kind !== "log" && kind !== "objref");
  const [only, ...others] = acts;
  if (only === undefined || others.length > 0) return undefined;
  if (only.kind === "reject") return "reject";
  if (only.kind === "verdict") return only.verdict.kind === "drop" ? "drop" : undefined;
  return only.kind === "unknown" && only.name === "target" && targetName(only.data) === "REJECT" ? "reject" : undefined;
}

/** NFTA_TARGET_NAME (uapi nf_tables_compat.h): which xtables target iptables-nft put there. */
const targetAttributes = attributeTable({ name: { number: 1, codec: bareString, meaning: "xtables target" } });

function targetName(data: Uint8Array): string | undefined {
  return targetAttributes.read(new Reader(data, "xtables target")).name;
}
