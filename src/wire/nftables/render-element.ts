import type { ValueType } from "./datatypes.ts";
import type { Element, ElementData, KeyPart, NftSet, Verdict } from "./model.ts";
import { renderPart } from "./render-value.ts";

/** An element in the words of its set's types. */
export function renderElement(element: Element, set: Pick<NftSet, "key" | "data">): string {
  return joined(element, set.key, Array.isArray(set.data) ? set.data : []);
}

/** An element whose set is not at hand: a text that can be nothing but an interface name is quoted as one. */
export function renderLooseElement(element: Element): string {
  return joined(
    element,
    element.key.map(guess),
    element.data !== undefined && "values" in element.data ? element.data.values.map(guess) : [],
  );
}

/** `accept`, `jump guests`. */
export function renderVerdict(verdict: Verdict): string {
  return verdict.kind === "jump" || verdict.kind === "goto" ? `${verdict.kind} ${verdict.chain}` : verdict.kind;
}

function joined(element: Element, key: readonly (ValueType | undefined)[], data: readonly (ValueType | undefined)[]): string {
  const comment = element.comment === undefined ? "" : ` comment ${JSON.stringify(element.comment)}`;
  const value = element.data === undefined ? "" : ` : ${renderData(element.data, data)}`;
  const life = element.lifeMs === undefined ? "" : ` timeout ${Math.ceil(element.lifeMs)}ms`;
  return `${renderParts(element.key, key)}${life}${comment}${value}`;
}

function renderData(data: ElementData, types: readonly (ValueType | undefined)[]): string {
  if ("verdict" in data) return renderVerdict(data.verdict);
  return "counter" in data ? JSON.stringify(data.counter) : renderParts(data.values, types);
}

function renderParts(parts: readonly KeyPart[], types: readonly (ValueType | undefined)[]): string {
  return parts.map((part, i) => renderPart(part, types[i])).join(" . ");
}

const words: ReadonlySet<string> = new Set([
  "tcp",
  "udp",
  "icmp",
  "icmpv6",
  "ipv6-icmp",
  "sctp",
  "ip",
  "ip6",
  "arp",
  "established",
  "related",
  "new",
  "invalid",
  "untracked",
]);

function guess(part: KeyPart): ValueType | undefined {
  return typeof part === "string" && !/[:/]|^\d+\.\d+\.\d+\.\d+$/.test(part) && !words.has(part) ? "ifname" : undefined;
}
