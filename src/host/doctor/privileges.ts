import { changeLink } from "../../kernel/links.ts";
import { NetlinkSocket } from "../../kernel/netlink-socket.ts";
import { isErrno } from "../../sys/errno.ts";
import { type Check, runAsRoot } from "./report.ts";

/** No interface has this index: the kernel looks at the caller's rights first, and then finds nothing to change. */
const nobody = 0x7fffffff;

/** CAP_NET_ADMIN over the network namespace we are in, by asking the kernel for a change that changes nothing. */
export const netAdmin: Check = {
  name: "net-admin",
  needed: true,
  probe() {
    using route = NetlinkSocket.open("route");
    try {
      changeLink(route, nobody, { up: true });
    } catch (error) {
      if (isErrno(error, "ENODEV")) return { ok: "ok", detail: "may administer this network namespace" };
      if (!isErrno(error, "EPERM", "EACCES")) throw error;
    }
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
