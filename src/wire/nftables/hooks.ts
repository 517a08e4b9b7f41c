import { WireError } from "../../base/errors.ts";
import type { DecodedOf, InputOf } from "../netlink/attributes.ts";
import type { chainAttributes } from "./attributes.ts";
import type { Chain, Family, Hook } from "./model.ts";

/** NF_INET_* and NF_BR_* have the same numbers for the five hooks; ARP has its own order. */
const hookNumbers: Readonly<Record<Hook, number>> = { prerouting: 0, input: 1, forward: 2, output: 3, postrouting: 4 };
const arpHookNumbers: Readonly<Partial<Record<Hook, number>>> = { input: 0, output: 1, forward: 2 };

/** The base chain's part of a dump; hook is undefined where the model has no word for it (netdev, ingress). */
export type ObservedBase = { type: string; hook: Hook | undefined; priority: number; policy: "accept" | "drop" };

/** NFTA_CHAIN_* of a chain to be made, without its rules. @throws WireError when the family has no such hook */
export function chainInput(family: Family, table: string, chain: Chain): InputOf<typeof chainAttributes> {
  const { name, base } = chain;
  if (base === undefined) return { table, name };
  const hook = (family === "arp" ? arpHookNumbers : hookNumbers)[base.hook];
  if (hook === undefined || family === "netdev")
    throw new WireError(`chain ${name}`, `tables of family ${family} have no hook ${base.hook}`);
  return { table, name, type: base.type, policy: base.policy, hook: { hook, priority: base.priority >>> 0 } };
}

/** Undefined for a chain that is only jumped to. */
export function baseOf(family: Family, attributes: DecodedOf<typeof chainAttributes>): ObservedBase | undefined {
  const { hook } = attributes;
  if (hook?.hook === undefined) return undefined;
  const numbers = family === "arp" ? arpHookNumbers : family === "netdev" ? {} : hookNumbers;
  const name = Object.entries(numbers).find(([, number]) => number === hook.hook)?.[0] as Hook | undefined;
  return { type: attributes.type ?? "filter", hook: name, priority: (hook.priority ?? 0) | 0, policy: attributes.policy ?? "accept" };
}
