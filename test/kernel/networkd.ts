import { readFileSync } from "node:fs";
import type { Workshop } from "./dhcp-bed.ts";

/** A command that runs systemd-networkd on eth0. It runs without systemd where /sys is read-only, as in a container: it waits for no udev then. */
export function networkdIn(workshop: Workshop): string[] {
  return ["unshare", "-m", "sh", workshop.file("networkd.sh", script(workshop.path))];
}

/** What networkd knows, copied to where this side sees it; empty until there is anything. */
export function networkdState(workshop: Workshop): string {
  try {
    return readFileSync(`${workshop.path}/state`, "utf8");
  } catch {
    return "";
  }
}

function script(directory: string): string {
  return `
mount --make-rprivate /
mount -o remount,bind,ro /sys
mount -t tmpfs tmpfs /run
mkdir -p /run/dbus /run/systemd/network /run/systemd/netif
chown systemd-network:systemd-network /run/systemd/netif
printf '[Match]\\nName=eth0\\n[Network]\\nDHCP=yes\\n[DHCPv4]\\nUseDomains=yes\\n' > /run/systemd/network/10-eth0.network
while kill -0 $$; do
  cat /run/systemd/netif/links/* > ${directory}/next && mv ${directory}/next ${directory}/state
  sleep 0.1
done > /dev/null 2>&1 &
exec /lib/systemd/systemd-networkd
`;
}
