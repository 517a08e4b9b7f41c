import { z } from "zod";
import { canonicalName, type HostName, quoted } from "../base/host-name.ts";
import { isFault } from "../base/names.ts";
import { parsePort, type Port } from "../base/port.ts";

/**
 * One way out. `tls` connections must begin with a ClientHello that names the host; `tcp` connections carry anything.
 * With `subdomains` every name below the host is meant, at any depth, and not the host itself.
 */
export type EgressRule = {
  host: HostName;
  subdomains: boolean;
  port: Port;
  protocol: "tls" | "tcp";
  text: EgressRuleText;
  /** The guest of ours that is meant, by its full name; only rules of runs have one (see `runPolicy`). */
  guest?: HostName;
};

/** The rule as a user would write it, the same for every spelling of it. */
export type EgressRuleText = string;

/** How connections on a port must begin when the rule does not say. */
function usualProtocol(port: number): EgressRule["protocol"] {
  return port === 443 ? "tls" : "tcp";
}

/** `host:port`, `*.host:port`, either with `/tcp` or `/tls` behind it; or one sentence on what is wrong and what would be right. */
export function parseEgressRule(text: string): EgressRule | { fault: string } {
  const [, place = "", suffix] = /^(.*?)(?:\/([^/:]*))?$/s.exec(text) ?? [];
  if (text.includes("://")) return { fault: `${quoted(text)} is a URL; write the host and its port, like example.com:443` };
  if (suffix !== undefined && suffix !== "tcp" && suffix !== "tls")
    return { fault: `${quoted(text)} ends in ${quoted(`/${suffix}`)}; after the port there may be /tcp or /tls` };
  const colon = place.lastIndexOf(":");
  const host = colon === -1 ? place : place.slice(0, colon);
  if (host.includes(":") || host.startsWith("[")) return { fault: addressFault(text) };
  const subdomains = host.startsWith("*.");
  const name = canonicalName(subdomains ? host.slice(2) : host);
  if (isFault(name)) return { fault: name.fault.endsWith("is an address, not a name") ? addressFault(text) : nameFault(host, name) };
  if (colon === -1) return { fault: `${quoted(text)} has no port; write ${subdomains ? "*." : ""}${name}:443` };
  const port = parsePort(place.slice(colon + 1));
  if (port === undefined) return { fault: `${quoted(text)} has no port within 1-65535 after the ":"` };
  if (!name.includes("."))
    return {
      fault: subdomains
        ? `${quoted(text)} would allow a whole top level; name a domain below it`
        : `${quoted(text)} has no dot; write the full name of the host`,
    };
  const protocol = suffix ?? usualProtocol(port);
  const tail = protocol === usualProtocol(port) ? "" : `/${protocol}`;
  return { host: name, subdomains, port, protocol, text: `${subdomains ? "*." : ""}${name}:${port}${tail}` };
}

function addressFault(text: string): string {
  return `${quoted(text)} is an address; egress rules take names, whose addresses are checked when they are used`;
}

function nameFault(host: string, { fault }: { fault: string }): string {
  if (host === "*") return `"*" alone is no rule; mode unrestricted allows every host`;
  return host.includes("*") ? `${quoted(host)} has "*" elsewhere than at its beginning; only *.example.com is understood` : fault;
}

const egressRule = z
  .string()
  .describe("host:port or *.host:port (any depth, not the host itself); port 443 demands TLS for that host unless /tcp follows")
  .transform((text, context): EgressRule => {
    const rule = parseEgressRule(text);
    if (!isFault(rule)) return rule;
    context.issues.push({ code: "custom", message: rule.fault, input: text });
    return z.NEVER;
  });

/**
 * Where a guest may connect to. `none`: nowhere. `allowlist`: the rules, so an empty list is nowhere. `unrestricted`: any public
 * host. Private and other special addresses are out of reach in every mode.
 */
export const egressPolicy = z
  .strictObject({ mode: z.enum(["none", "allowlist", "unrestricted"]), allow: z.array(egressRule).max(1024).default([]) })
  .superRefine(({ mode, allow }, context) => {
    if (mode !== "allowlist" && allow.length > 0)
      context.addIssue({
        code: "custom",
        path: ["allow"],
        message: `has no effect in mode ${mode}; write mode: allowlist, or leave it out`,
      });
    const protocols = new Map<string, EgressRule>();
    allow.forEach((rule, i) => {
      const place = `${rule.subdomains ? "*." : ""}${rule.host}:${rule.port}`;
      const before = protocols.get(place);
      if (before !== undefined && before.protocol !== rule.protocol)
        context.addIssue({ code: "custom", path: ["allow", i], message: `"${rule.text}" contradicts "${before.text}"` });
      protocols.set(place, rule);
    });
  });

export type EgressPolicyInput = z.input<typeof egressPolicy>;
export type EgressPolicy = z.output<typeof egressPolicy>;

/** Why something was allowed or refused; the same words in audit lines, replies and reports. */
export const egressReasons = [
  "OK",
  "NET_MODE_NONE",
  "NOT_IN_ALLOWLIST",
  "PORT_NOT_ALLOWED",
  "INVALID_DESTINATION",
  "PROXY_REQUIRED",
  "SNI_MISMATCH",
  "DNS_DENIED",
  "POLICY_EXPIRED",
  "APPROVAL_REQUIRED",
  "INTERNAL_ERROR",
  "OTHER",
] as const;

export type EgressReason = (typeof egressReasons)[number];
