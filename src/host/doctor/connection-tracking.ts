import { readFileSync } from "node:fs";
import type { Check } from "./report.ts";

/** A full table drops new connections of the whole host with no message but one in the kernel log. */
export const connectionTracking: Check = {
  name: "connection-tracking",
  needed: false,
  probe() {
    const room = read("nf_conntrack_max");
    if (room === undefined) return { ok: "ok", detail: "the table is made with the first NAT rule" };
    const used = read("nf_conntrack_count") ?? 0;
    const detail = `${used} of ${room} entries used`;
    const remedy = `sysctl -w net.netfilter.nf_conntrack_max=${Math.max(262144, room * 2)}`;
    if (used > room * 0.8) return { ok: "warn", detail: `${detail}: new connections are dropped when it is full`, remedy };
    if (room < 16384) return { ok: "warn", detail: `${detail}: little for a host of guests`, remedy };
    return { ok: "ok", detail };
  },
};

function read(name: string): number | undefined {
  try {
    return Number(readFileSync(`/proc/sys/net/netfilter/${name}`, "utf8"));
  } catch {
    return undefined;
  }
}
