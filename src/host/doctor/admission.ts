import type { BaseChain } from "../../kernel/firewall-survey.ts";
import type { Firewall } from "../../kernel/firewall.ts";

type ObservedRule = NonNullable<ReturnType<Firewall["dumpTable"]>>["chains"][number]["rules"][number];
type Rule = Extract<Parameters<Firewall["apply"]>[1][number], { kind: "add-chain" }>["chain"]["rules"][number];

const userChain = "DOCKER-USER";

/** Whether rules of the chain's table take everything in from and out to a bridge: `-i BRIDGE` and `-o BRIDGE` with nothing else asked. */
export function admits(firewall: Firewall, chain: BaseChain, bridge: string): boolean {
  const rules = firewall.dumpTable(chain.family, chain.table)?.chains.flatMap((one) => one.rules) ?? [];
  return (["iifname", "oifname"] as const).every((direction) => rules.some((rule) => isAdmission(rule, direction, bridge)));
}

/**
 * Docker leaves DOCKER-USER to the administrator and asks it first. Rules can be put at its end, so one that returns there
 * (Docker before 28 makes it) keeps us out.
 */
export function dockerUser(firewall: Firewall, chain: BaseChain): "ours-to-open" | "closed" {
  if (!chain.products.includes("Docker")) return "closed";
  const user = firewall.dumpTable(chain.family, chain.table)?.chains.find((one) => one.name === userChain);
  if (user === undefined) return "closed";
  return user.rules.some(endsAlways) ? "closed" : "ours-to-open";
}

/** Adds what is missing of the two rules for each bridge, as iptables-nft would write them: it refuses tables it cannot read. */
export function openDockerUser(firewall: Firewall, chain: BaseChain, bridges: readonly string[]): void {
  const rules = bridges
    .filter((bridge) => !admits(firewall, chain, bridge))
    .flatMap((bridge) => [admission("iifname", bridge), admission("oifname", bridge)]);
  if (rules.length === 0) return;
  firewall.apply("let bridges of Nexus through Docker's firewall", [
    { kind: "add-chain", family: chain.family, table: chain.table, chain: { name: userChain, rules } },
  ]);
}

function admission(field: "iifname" | "oifname", bridge: string): Rule {
  return {
    id: `nexus: guests ${field === "iifname" ? "out" : "in"}`,
    statements: [{ kind: "match", field, op: "==", value: bridge }, { kind: "count" }, { kind: "verdict", verdict: { kind: "accept" } }],
  };
}

/** Zones of firewalld send an interface on with goto or jump instead of accepting it on the spot. */
function isAdmission(rule: ObservedRule, direction: "iifname" | "oifname", bridge: string): boolean {
  const acts = rule.expressions.filter(({ kind }) => kind !== "counter");
  const [load, compare, end, ...more] = acts;
  if (load?.kind !== "meta" || load.key !== direction || compare?.kind !== "cmp" || compare.op !== "eq" || more.length > 0) return false;
  if (end?.kind !== "verdict" || (end.verdict.kind !== "accept" && !goesToTrusted(end.verdict))) return false;
  return Buffer.from(compare.data).toString("latin1").replace(/\0+$/, "") === bridge;
}

function goesToTrusted(verdict: { kind: string; chain?: string }): boolean {
  return (verdict.kind === "goto" || verdict.kind === "jump") && /(^|_)trusted$/.test(verdict.chain ?? "");
}

function endsAlways(rule: ObservedRule): boolean {
  const [end, ...more] = rule.expressions.filter(({ kind }) => kind !== "counter");
  return end?.kind === "verdict" && end.verdict.kind !== "jump" && more.length === 0;
}
