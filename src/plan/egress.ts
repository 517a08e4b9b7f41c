import { isFault } from "../base/names.ts";
import type { Port } from "../base/port.ts";
import { type EgressRule, parseEgressRule } from "../spec/egress.ts";
import type { EgressWish } from "../spec/egress-wish.ts";

/** Whether a policy refuses anything; without one everything is as if there was no egress policy at all. */
export function restricts(wish: EgressWish | undefined): wish is EgressWish {
  return wish !== undefined && wish.mode !== "unrestricted";
}

/** What the policies over one attachment, its network's and its own, leave open between them: a name and port must be in all. */
export class EgressRules {
  readonly #policies: readonly Policy[];

  constructor(wishes: readonly (EgressWish | undefined)[]) {
    this.#policies = wishes.filter(restricts).map(policyOf);
  }

  get restricted(): boolean {
    return this.#policies.length > 0;
  }

  /** The ports of a canonical host name, ascending; of no use where nothing is restricted. */
  ports(name: string): Port[] {
    const [first = new Set<Port>(), ...others] = this.#policies.map((policy) => portsIn(policy, name));
    return [...first].filter((port) => others.every((ports) => ports.has(port))).toSorted((a, b) => a - b);
  }
}

type Policy = { exact: Map<string, Port[]>; below: Map<string, Port[]> };

/** Mode `none` is the allowlist without entries. */
function policyOf(wish: EgressWish): Policy {
  const policy: Policy = { exact: new Map(), below: new Map() };
  const rules = wish.mode === "allowlist" ? wish.allow.map(parseEgressRule) : [];
  for (const rule of rules.filter((one): one is EgressRule => !isFault(one))) {
    const ports = rule.subdomains ? policy.below : policy.exact;
    ports.set(rule.host, [...(ports.get(rule.host) ?? []), rule.port]);
  }
  return policy;
}

function portsIn({ exact, below }: Policy, name: string): Set<Port> {
  const ports = new Set(exact.get(name));
  for (let dot = name.indexOf("."); dot !== -1; dot = name.indexOf(".", dot + 1))
    for (const port of below.get(name.slice(dot + 1)) ?? []) ports.add(port);
  return ports;
}
