import { inNetns } from "../../sys/netns.ts";
import { isErrno } from "../../sys/errno.ts";
import { openTap } from "../../sys/tap.ts";
import { loadModule } from "./modules.ts";
import { type Check, runAsRoot, skipped } from "./report.ts";

/** Virtual machines only: a tap that ends with its descriptor, in a namespace of its own. */
export const tap: Check = {
  name: "tap",
  needed: false,
  probe(_context, scratch) {
    if ("refusal" in scratch) return skipped(scratch);
    try {
      const name = inNetns(scratch.netns, () => {
        const opened = openTap({ name: "nexus%d", multiQueue: false, vnetHeader: true, create: true });
        opened.fd[Symbol.dispose]();
        return opened.name;
      });
      return { ok: "ok", detail: `/dev/net/tun gives taps (${name} made and gone)` };
    } catch (error) {
      const detail = `virtual machines cannot have taps: ${error instanceof Error ? error.message : String(error)}`;
      if (!isErrno(error, "ENOENT", "ENODEV", "ENXIO")) return { ok: "warn", detail, remedy: `${runAsRoot}, with access to /dev/net/tun` };
      return { ok: "warn", detail, remedy: "modprobe tun", fix: () => loadModule("tun") };
    }
  },
};
