import { accessSync, constants, existsSync, readFileSync } from "node:fs";
import type { BaseChain } from "../../kernel/firewall-survey.ts";
import { Firewall } from "../../kernel/firewall.ts";
import { isErrno } from "../../sys/errno.ts";
import { admits, dockerUser, openDockerUser } from "./admission.ts";
import type { Check, DoctorContext, Finding } from "./report.ts";

/**
 * Accepting ends one base chain only, so whoever drops in another one on the forward hook has the last word over our guests' traffic.
 * We never overrule that unasked; the product's own way of letting bridges through is named.
 */
export const forwardPolicy: Check = {
  name: "forward-policy",
  needed: true,
  probe(context) {
    using firewall = Firewall.open({ ownership: "none" });
    const chains = readChains(firewall);
    if (chains === undefined) return { ok: "skip", detail: "the host's rules cannot be read without CAP_NET_ADMIN" };
    const conflicts = chains.filter((chain) => isBarrier(chain) && !isOpened(firewall, chain, context));
    if (conflicts.length === 0) return withoutConflict();
    const detail = `traffic of guests is stopped by ${conflicts.map(describe).join(" and by ")}`;
    const remedy = [...new Set(conflicts.map((chain) => remedyFor(chain, context)))].join("; ");
    const closed = conflicts.filter((chain) => dockerUser(firewall, chain) === "ours-to-open");
    if (closed.length === 0 || context.networks.length === 0) return { ok: "fail", detail, remedy };
    return { ok: "fail", detail, remedy: `${remedy}, or nexus doctor --fix`, fix: () => openAll(closed, context) };
  },
};

/** Undefined when we may not. */
function readChains(firewall: Firewall): BaseChain[] | undefined {
  try {
    return firewall.listBaseChains();
  } catch (error) {
    if (isErrno(error, "EPERM")) return undefined;
    throw error;
  }
}

/** Chains of the iptables of old are not seen through nf_tables; that there are some, the kernel tells. */
function withoutConflict(): Finding {
  const legacy = "/proc/net/ip_tables_names";
  if (!existsSync(legacy)) return { ok: "ok", detail: "nobody drops forwarded traffic" };
  if (!isReadable(legacy))
    return { ok: "ok", detail: "no nf_tables chain stops forwarded traffic; only root can tell whether rules of iptables-legacy do" };
  if (readFileSync(legacy, "utf8").split("\n").includes("filter")) {
    return {
      ok: "warn",
      detail: "no nf_tables chain stops forwarded traffic; there are also rules of iptables-legacy, which cannot be read from here",
      remedy: "look for DROP in: iptables-legacy -S FORWARD",
    };
  }
  return { ok: "ok", detail: "nobody drops forwarded traffic" };
}

/** Its mode is 0440, whatever capabilities its reader has. */
function isReadable(path: string): boolean {
  try {
    accessSync(path, constants.R_OK);
    return true;
  } catch {
    return false;
  }
}

function isBarrier(chain: BaseChain): boolean {
  if (chain.hook !== "forward" || chain.type !== "filter" || chain.table === "nexus") return false;
  return chain.policy === "drop" || chain.end !== undefined;
}

/** Rules that let every bridge of ours in and out, made by --fix or by hand. */
function isOpened(firewall: Firewall, chain: BaseChain, context: DoctorContext): boolean {
  return context.networks.length > 0 && context.networks.every(({ bridge }) => admits(firewall, chain, bridge));
}

function describe(chain: BaseChain): string {
  const who = chain.products.length === 0 ? "" : `${chain.products.join(" and ")}: `;
  const how = chain.end === undefined ? "has the policy drop" : `ends with ${chain.end}`;
  return `${who}chain ${chain.name} of table ${chain.family} ${chain.table}, which ${how}`;
}

function remedyFor(chain: BaseChain, context: DoctorContext): string {
  const bridges = context.networks.length === 0 ? ["BRIDGE"] : context.networks.map((network) => network.bridge);
  const each = (command: (bridge: string) => string): string => bridges.map(command).join(" && ");
  const iptables = chain.family === "ip6" ? "ip6tables" : "iptables";
  const place = `${chain.family} ${chain.table} ${chain.name}`;
  if (chain.products.includes("firewalld"))
    return `${each((b) => `firewall-cmd --permanent --zone=trusted --add-interface=${b}`)} && firewall-cmd --reload`;
  if (chain.products.includes("ufw")) return each((b) => `ufw route allow in on ${b} && ufw route allow out on ${b}`);
  if (chain.products.includes("Docker"))
    return each((b) => `${iptables} -I DOCKER-USER -i ${b} -j ACCEPT && ${iptables} -I DOCKER-USER -o ${b} -j ACCEPT`);
  return each((b) => `nft insert rule ${place} iifname ${b} accept && nft insert rule ${place} oifname ${b} accept`);
}

function openAll(chains: readonly BaseChain[], context: DoctorContext): string {
  using firewall = Firewall.open({ ownership: "none" });
  const bridges = context.networks.map((network) => network.bridge);
  for (const chain of chains) openDockerUser(firewall, chain, bridges);
  return `let ${bridges.join(", ")} through DOCKER-USER; rules there outlive Docker's restarts, not the host's`;
}
