import { mayAdministerNetworks } from "../../kernel/rights.ts";
import { type Check, runAsRoot } from "./report.ts";

/** CAP_NET_ADMIN over the network namespace we are in. */
export const netAdmin: Check = {
  name: "net-admin",
  needed: true,
  probe() {
    if (mayAdministerNetworks()) return { ok: "ok", detail: "may administer this network namespace" };
    return { ok: "fail", detail: "may not administer this network namespace (CAP_NET_ADMIN)", remedy: runAsRoot };
  },
};

/** Every guest lives in a network namespace; making one wants CAP_SYS_ADMIN. */
export const namespaces: Check = {
  name: "namespaces",
  needed: true,
  probe(_context, scratch) {
    if ("netns" in scratch) return { ok: "ok", detail: "network namespaces can be made" };
    return {
      ok: "fail",
      detail: `network namespaces cannot be made: ${scratch.refusal}`,
      remedy: `${runAsRoot}; in a container, allow it (--privileged), and see user.max_net_namespaces`,
    };
  },
};
