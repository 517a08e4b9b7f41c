import { compareIp, type Ip, ipFamily } from "../base/ip.ts";
import type { Transport } from "../base/port.ts";
import type { EgressWish } from "../spec/egress-wish.ts";
import type { WhyView } from "../spec/views.ts";
import { EgressRules, restricts } from "./egress.ts";
import type { AttachmentRecord, NetworkRecord, PinRecord } from "./records.ts";

/** A guest's way out, and what is pinned for it. */
export type Outlet = { nic: AttachmentRecord; source: NetworkRecord; pins: readonly PinRecord[] };

type Finding = Omit<WhyView, "path">;

type Towards = { port: number | undefined; protocol: Transport | "icmp" };

export function isRestricted({ nic, source }: Pick<Outlet, "nic" | "source">): boolean {
  return policiesOf(nic, source).length > 0;
}

/** What egress policies say of a name, which is judged when it is asked for. */
export function whyName(outlet: Outlet, name: string, { port, protocol }: Towards): Finding {
  const policies = policiesOf(outlet.nic, outlet.source);
  if (policies.length === 0)
    return { verdict: "allow", reason: `no egress policy restricts ${outlet.nic.guest}: names are not judged`, rule: "no rule of ours" };
  const refuse = (reason: string): Finding => ({ verdict: "deny", reason, rule: refusedRule(protocol) });
  if (protocol === "icmp") return refuse("an egress policy lets out TCP and UDP alone");
  for (const { wish, of } of policies) {
    const ports = new EgressRules([wish]).ports(name);
    if (wish.mode === "none") return refuse(`the egress policy of ${of} is none`);
    if (ports.length === 0) return refuse(`the egress allowlist of ${of} does not have ${name}${port === undefined ? "" : `:${port}`}`);
    if (port !== undefined && !ports.some((one) => one === port))
      return refuse(`the egress allowlist of ${of} has ${name} on port ${ports.join(", ")}, not on ${port}`);
  }
  const pins = pinsOf(outlet).filter((pin) => pin.names.includes(name) && (port === undefined || pin.port === port));
  if (pins.length === 0)
    return {
      verdict: "allow",
      reason: `allowed by TCP and UDP, but the name was not asked for lately: no address is pinned until ${outlet.nic.guest} asks its gateway for it`,
      rule: "inet nexus pinned (no element yet)",
    };
  const addresses = [...new Set(pins.map(({ address }) => address))].toSorted(compareIp).join(", ");
  const seconds = Math.round(Math.min(...pins.map(({ leftMs }) => leftMs)) / 1000);
  return {
    verdict: "allow",
    reason: `allowed by TCP and UDP, and pinned to ${addresses} for ${seconds} s more`,
    rule: "inet nexus egress pinned",
  };
}

/** Undefined where no policy decides. */
export function whyAddress(outlet: Outlet, address: Ip, { port, protocol }: Towards): Finding | undefined {
  const [policy] = policiesOf(outlet.nic, outlet.source);
  if (policy === undefined) return undefined;
  const pin = pinsOf(outlet).find((one) => one.address === address && one.port === port);
  if (pin !== undefined && protocol !== "icmp")
    return {
      verdict: "allow",
      reason: `${outlet.nic.guest} asked for ${pin.names.join(", ")}, which is allowed`,
      rule: `inet nexus egress pinned-${ipFamily(address)}`,
    };
  const reason =
    protocol === "icmp"
      ? "an egress policy lets out TCP and UDP alone"
      : `the egress policy of ${policy.of} lets out what is pinned, and ${address} port ${port} is the answer to no name that is allowed and was asked for`;
  return { verdict: "deny", reason, rule: refusedRule(protocol) };
}

/** What is left of the host for a guest with a policy: its gateway's DNS, DHCP and echo. Undefined where no policy decides. */
export function whyHost(outlet: Outlet, { port, protocol, gateway }: Towards & { gateway: boolean }): Finding | undefined {
  const [policy] = policiesOf(outlet.nic, outlet.source);
  if (policy === undefined) return undefined;
  const served = protocol === "icmp" || port === 53 || (protocol === "udp" && (port === 67 || port === 547));
  if (gateway && served)
    return { verdict: "allow", reason: "the gateway serves names, addresses and echo", rule: "inet nexus egress_gateway" };
  return {
    verdict: "deny",
    reason: `the egress policy of ${policy.of} leaves of the host only its gateway's DNS, DHCP and echo`,
    rule: `inet nexus egress_host ${protocol === "tcp" ? "refused-tcp" : "refused"}`,
  };
}

function policiesOf(nic: AttachmentRecord, network: NetworkRecord): { wish: EgressWish; of: string }[] {
  const all = [
    { wish: network.spec.egress, of: `network ${network.name}` },
    { wish: nic.egress, of: `guest ${nic.guest} on network ${network.name}` },
  ];
  return all.flatMap(({ wish, of }) => (restricts(wish) ? [{ wish, of }] : []));
}

function pinsOf({ nic, pins }: Outlet): PinRecord[] {
  return pins.filter(({ source, leftMs }) => leftMs > 0 && nic.addresses.includes(source));
}

function refusedRule(protocol: Transport | "icmp"): string {
  return `inet nexus egress ${protocol === "tcp" ? "refused-tcp" : "refused"}`;
}
