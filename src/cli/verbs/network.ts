import type { VerbContext } from "../context.ts";
import { bytesText, countText, since } from "../figures.ts";
import { type EgressInput, egressOf } from "../egress-flags.ts";
import { eachName } from "../each-name.ts";
import { columns, facts, table } from "../tables.ts";
import { NexusError } from "../../base/errors.ts";
import type { NetworkChange, NetworkSpecInput } from "../../spec/network.ts";
import type { NetworkView } from "../../spec/views.ts";

export async function create(c: VerbContext): Promise<void> {
  const subnets = await subnetsOf(c);
  const body: NetworkSpecInput = {
    name: c.arg("NAME"),
    ...(subnets.length === 0 ? {} : { subnets }),
    ...(c.flags.on("ipv6") ? { ipv6: true } : {}),
    ...(c.flags.text("bridge") === undefined ? {} : { bridge: c.flags.text("bridge") }),
    ...policyOf(c),
    ...(c.flags.on("no-nat") ? { nat: false } : {}),
    ...(c.flags.on("internal") ? { internal: true } : {}),
    ...(c.flags.on("no-dhcp") ? { dhcp: false } : {}),
  };
  const network = await (await c.client()).call("network.create", { body });
  c.out.result(network, () => `${network.name}  ${network.subnets.map((s) => s.prefix).join(", ")}  bridge ${network.bridge}\n`);
}

export async function list(c: VerbContext): Promise<void> {
  const networks = await (await c.client()).call("network.list");
  c.out.result(networks, () =>
    table(
      ["NAME", "STATE", "SUBNETS", "BRIDGE", "GUESTS", "POLICY"],
      networks.map((n) => [
        n.name,
        n.state,
        n.subnets.map((s) => s.prefix).join(","),
        n.bridge,
        String(new Set(n.leases.map((l) => l.guest)).size),
        policyText(n),
      ]),
    ),
  );
}

export async function inspect(c: VerbContext): Promise<void> {
  const network = await (await c.client()).call("network.get", { params: { name: c.arg("NAME") } });
  c.out.result(network, () => describe(network));
}

export async function change(c: VerbContext): Promise<void> {
  const body: NetworkChangeInput = {
    ...policyOf(c),
    ...(c.flags.on("no-dns") ? { dns: [] } : {}),
    ...(c.flags.on("no-peers") ? { peers: [] } : {}),
    ...switchOf(c, "nat"),
    ...switchOf(c, "internal"),
    ...switchOf(c, "dhcp"),
  };
  if (Object.keys(body).length === 0)
    throw new NexusError("usage", "nexus network set: nothing to change is given", {
      hint: "`nexus network set --help` lists what can change",
    });
  const network = await (await c.client()).call("network.change", { params: { name: c.arg("NAME") }, body });
  c.out.result(network, () => describe(network));
}

export async function remove(c: VerbContext): Promise<void> {
  const client = await c.client();
  await eachName(
    c,
    async (name) => (await client.call("network.remove", { params: { name }, query: { force: c.flags.on("force") } })).removed,
  );
}

export async function reset(c: VerbContext): Promise<void> {
  const answer = await (await c.client()).call("network.reset", { query: { force: c.flags.on("force") } });
  c.out.result(answer, () =>
    answer.removed.length === 0 ? "nothing was there\n" : answer.removed.map((name) => `removed ${name}\n`).join(""),
  );
}

/** Ends with 1 when the packet would not pass, so that scripts can ask. */
export async function why(c: VerbContext): Promise<number> {
  const protocol = (c.flags.text("protocol") ?? "tcp") as "tcp" | "udp" | "icmp";
  const answer = await (await c.client()).call("why", { query: { from: c.arg("FROM"), to: c.arg("TO[:PORT]"), protocol } });
  c.out.result(
    answer,
    () =>
      `${answer.verdict}: ${answer.reason}\n${facts([["rule", answer.rule]])}${columns(answer.path.map((p) => [`  ${p.step}`, p.result]))}`,
  );
  return answer.verdict === "allow" ? 0 : 1;
}

type NetworkChangeInput = { [K in Exclude<keyof NetworkChange, "labels">]?: unknown } & {
  egress?: EgressInput;
  dns?: string[];
  peers?: string[];
  isolation?: "none" | "guests";
  mtu?: "auto" | number;
  nat?: boolean;
  internal?: boolean;
  dhcp?: boolean;
};

/** A gateway and a reserved range belong to the subnet they lie in, which only the addresses themselves can tell. */
async function subnetsOf(c: VerbContext): Promise<NonNullable<NetworkSpecInput["subnets"]>> {
  const gateways = new Set(c.flags.many("gateway"));
  const ranges = new Set(c.flags.many("reserved"));
  const subnets = c.flags.many("subnet");
  if (gateways.size === 0 && ranges.size === 0) return subnets;
  const { parseIp } = await import("../../base/ip.ts");
  const { parsePrefix, prefixAddress, prefixContains } = await import("../../base/prefix.ts");
  const out = subnets.map((text) => {
    const prefix = parsePrefix(text);
    if (typeof prefix !== "string") return text;
    const gateway = [...gateways].find((g) => {
      const address = parseIp(g);
      return address !== undefined && prefixContains(prefix, address);
    });
    const reserved = [...ranges].filter((text) => {
      const range = parsePrefix(text);
      return typeof range === "string" && prefixContains(prefix, prefixAddress(range));
    });
    if (gateway !== undefined) gateways.delete(gateway);
    for (const range of reserved) ranges.delete(range);
    return { prefix: text, ...(gateway === undefined ? {} : { gateway }), ...(reserved.length === 0 ? {} : { reserved }) };
  });
  refuseLeft("gateway", gateways);
  refuseLeft("reserved range", ranges);
  return out;
}

function refuseLeft(what: string, left: ReadonlySet<string>): void {
  if (left.size > 0)
    throw new NexusError("usage", `nexus network create: the ${what} ${[...left].join(", ")} lies in no --subnet`, {
      hint: "write 10.0.42.1 for a gateway, 10.0.42.128/25 for a reserved range",
    });
}

function policyOf(c: VerbContext) {
  const mtu = c.flags.text("mtu");
  const isolation = c.flags.text("isolation");
  return {
    ...(mtu === undefined ? {} : { mtu: mtu === "auto" ? ("auto" as const) : (c.flags.number("mtu", "whole", "auto") ?? 0) }),
    ...(c.flags.many("dns").length === 0 ? {} : { dns: c.flags.many("dns") }),
    ...(c.flags.many("peer").length === 0 ? {} : { peers: c.flags.many("peer") }),
    ...(isolation === undefined ? {} : { isolation: isolation as "none" | "guests" }),
    ...egressOf(c),
  };
}

function switchOf(c: VerbContext, name: "nat" | "internal" | "dhcp") {
  const value = c.flags.text(name);
  if (value === undefined) return {};
  if (value !== "on" && value !== "off") throw new NexusError("usage", `--${name} is on or off, not "${value}"`);
  return { [name]: value === "on" };
}

function policyText(n: NetworkView): string {
  const parts = [n.internal ? "internal" : n.nat ? "nat" : "routed"];
  if (!n.dhcp) parts.push("no dhcp");
  if (n.isolation === "guests") parts.push("isolated");
  const { egress } = n;
  if (egress !== undefined) parts.push(`egress ${egress.mode === "none" ? "none" : `only ${egress.allow.join(",") || "nothing"}`}`);
  if (n.peers.length > 0) parts.push(`peers ${n.peers.join(",")}`);
  return parts.join(" ");
}

function describe(n: NetworkView): string {
  const head = facts([
    ["name", n.name],
    ["state", n.state],
    ["problem", n.problem],
    ["bridge", `${n.bridge}  ${n.mac}`],
    ...n.subnets.map(
      (s) =>
        [
          "subnet",
          `${s.prefix}  gateway ${s.gateway}, ${s.leased} of ${countText(s.size)} addresses taken${s.reserved.length === 0 ? "" : `, reserved ${s.reserved.join(", ")}`}`,
        ] as const,
    ),
    ["mtu", `${n.mtuBytes}${n.mtu === "auto" ? " (auto)" : ""}`],
    ["dns", n.dns.length === 0 ? "the host's" : n.dns.join(", ")],
    ["policy", policyText(n)],
    ["traffic", n.counters === undefined ? undefined : `${n.counters.packets} packets, ${bytesText(n.counters.bytes)}`],
    ["created", n.createdAt],
  ]);
  if (n.leases.length === 0) return head;
  return `${head}\n${table(
    ["ADDRESS", "GUEST", "NIC", "MAC", "HELD"],
    n.leases.map((l) => [l.address, l.guest, l.nic, l.mac, since(l.since)]),
  )}`;
}
