import { unreachable } from "../../base/exhaustive.ts";
import type { HostName } from "../../base/host-name.ts";
import type { Ip } from "../../base/ip.ts";
import type { Port } from "../../base/port.ts";
import { specialMeaning } from "../../base/special-ranges.ts";
import type { EgressPolicy, EgressReason, EgressRule } from "../../spec/egress.ts";
import type { Destination } from "./destination.ts";

/**
 * Allowed or not, why, and by which rule. `protocol` is how the connection must begin; `guest` is whom the rule means, when it is one of
 * ours; `detail` says in words what no rule says.
 */
export type Decision =
  | { verdict: "allow"; reason: "OK"; rule: string; protocol: EgressRule["protocol"]; guest?: HostName }
  | { verdict: "deny"; reason: EgressDenial; rule?: string; detail?: string };

export type Allowance = Extract<Decision, { verdict: "allow" }>;
export type EgressDenial = Exclude<EgressReason, "OK">;

/** Addresses nobody may reach because they are this host's own; a Set, or anything that knows ranges. */
export type OwnAddresses = { has(address: Ip): boolean };

/** Whether a name may be reached on a port, before anybody is asked for its address. */
export function judgeName(policy: EgressPolicy, name: HostName, port: Port): Decision {
  return new Judge(policy).destination({ kind: "name", name, port });
}

/** Whether an address may be dialled, whatever name led to it and in every mode. */
export function judgeAddress(address: Ip, own: OwnAddresses): Decision {
  const special = specialMeaning(address);
  if (special !== undefined) return { verdict: "deny", reason: "DNS_DENIED", detail: `${address} is ${special}` };
  if (own.has(address)) return { verdict: "deny", reason: "DNS_DENIED", detail: `${address} is this host's own` };
  return { verdict: "allow", reason: "OK", rule: "public address", protocol: "tcp" };
}

/** A policy made ready for many decisions: its rules by host. It never changes; a new policy is a new judge. */
export class Judge {
  readonly #mode: EgressPolicy["mode"];
  readonly #exact = new Map<string, Map<Port, EgressRule>>();
  readonly #below = new Map<string, Map<Port, EgressRule>>();

  constructor(policy: EgressPolicy) {
    this.#mode = policy.mode;
    for (const rule of policy.allow) {
      const rules = rule.subdomains ? this.#below : this.#exact;
      const ports = rules.get(rule.host) ?? new Map<Port, EgressRule>();
      ports.set(rule.port, rule);
      rules.set(rule.host, ports);
    }
  }

  destination(to: Destination): Decision {
    switch (this.#mode) {
      case "none":
        return { verdict: "deny", reason: "NET_MODE_NONE", rule: "mode none" };
      case "unrestricted":
        return { verdict: "allow", reason: "OK", rule: "mode unrestricted", protocol: "tcp" };
      case "allowlist":
        if (to.kind === "name") return this.#listed(to.name, to.port);
        return { verdict: "deny", reason: "INVALID_DESTINATION", detail: "an allowlist has names; addresses are not taken" };
      default:
        return unreachable(this.#mode);
    }
  }

  /** The rule for the very name counts first, then the one for the nearest domain above it. */
  #listed(name: HostName, port: Port): Decision {
    let ports = this.#exact.get(name);
    let known: EgressRule | undefined;
    for (let dot = -1; ;) {
      const rule = ports?.get(port);
      if (rule !== undefined) {
        const { text, protocol, guest } = rule;
        return { verdict: "allow", reason: "OK", rule: text, protocol, ...(guest === undefined ? {} : { guest }) };
      }
      known ??= ports?.values().next().value;
      dot = name.indexOf(".", dot + 1);
      if (dot === -1) break;
      ports = this.#below.get(name.slice(dot + 1));
    }
    if (known === undefined) return { verdict: "deny", reason: "NOT_IN_ALLOWLIST" };
    return { verdict: "deny", reason: "PORT_NOT_ALLOWED", rule: known.text };
  }
}
