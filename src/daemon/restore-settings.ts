import { writeSysctl, type SysctlPath } from "../kernel/sysctl.ts";
import { isOurTable } from "../plan/firewall/ruleset.ts";
import type { WiringOptions } from "./wiring.ts";

/** Puts back what the first network changed, but for what others have come to rely on. */
export function restoreSettings({ state, host, chronicle, log }: Pick<WiringOptions, "state" | "host" | "chronicle" | "log">): void {
  const others = host.firewall.listBaseChains().filter((chain) => chain.hook === "forward" && !isOurTable(chain));
  for (const [path, previous] of state.sysctls.all()) {
    state.sysctls.delete(path);
    if (isForwarding(path) && others.length > 0) {
      const who = [
        ...new Set(others.flatMap((chain) => (chain.products.length > 0 ? chain.products : [`table ${chain.family} ${chain.table}`]))),
      ];
      chronicle.tell({
        kind: "setting.kept",
        subject: path,
        message: `${path} stays on: ${who.join(", ")} forwards on this host too`,
      });
      continue;
    }
    try {
      writeSysctl(path.split("/") as unknown as SysctlPath, previous);
    } catch (error) {
      log.warn({ path, error: String(error) }, "a setting could not be put back");
    }
  }
}

/** Whether a setting is the host's, and not that of a link which takes it along. */
export function isGlobal(path: readonly string[]): boolean {
  return path[2] !== "conf" || path[3] === "all" || path[4] === "accept_ra";
}

function isForwarding(path: string): boolean {
  return path === "net/ipv4/ip_forward" || path === "net/ipv6/conf/all/forwarding";
}
