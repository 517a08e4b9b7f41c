import { existsSync } from "node:fs";

/** Whether this kernel speaks IPv6 at all: started with `ipv6.disable=1` it has no settings for it, and refuses every mention. */
export function hostHasIpv6(): boolean {
  return existsSync("/proc/sys/net/ipv6");
}
