import { accessSync, constants, existsSync, readFileSync, writeFileSync } from "node:fs";
import { listLinks } from "../../kernel/links.ts";
import { NetlinkSocket } from "../../kernel/netlink-socket.ts";
import type { Check, DoctorContext } from "./report.ts";

const forwardFile = "/proc/sys/net/ipv4/ip_forward";

/** Off is no fault as long as the daemon can switch it on with its first network. With one, somebody switched it off since. */
export const ipForward: Check = {
  name: "ip-forward",
  needed: true,
  probe(context) {
    if (readFileSync(forwardFile, "utf8").trim() === "1") return { ok: "ok", detail: "on" };
    if (!isWritable(forwardFile)) {
      return { ok: "fail", detail: "off, and /proc/sys cannot be written here", remedy: "on the host: sysctl -w net.ipv4.ip_forward=1" };
    }
    const fix = () => {
      writeFileSync(forwardFile, "1");
      return "switched net.ipv4.ip_forward on, until the next boot";
    };
    const cut = networksUp(context);
    if (cut.length > 0) {
      const detail = `off, so guests of ${cut.slice(0, 4).join(", ")}${cut.length > 4 ? " and others" : ""} reach nothing beyond their network; another program switched it off`;
      return { ok: "fail", detail, remedy: "nexus reconcile", fix };
    }
    const detail = "off; nexusd switches it on with its first network and back off after the last";
    return { ok: "warn", detail, remedy: "sysctl -w net.ipv4.ip_forward=1", fix };
  },
};

const callFile = "/proc/sys/net/bridge/bridge-nf-call-iptables";

/** With br_netfilter even guests of one bridge pass the host's forward chains. Our own rules are made for both settings. */
export const bridgeNetfilter: Check = {
  name: "bridge-netfilter",
  needed: false,
  probe() {
    if (!existsSync(callFile)) return { ok: "ok", detail: "not loaded: bridged traffic stays below the host's firewall" };
    if (readFileSync(callFile, "utf8").trim() === "0") return { ok: "ok", detail: "off: bridged traffic stays below the host's firewall" };
    return { ok: "ok", detail: "on: traffic within a bridge passes the host's forward chains too; nexus's rules hold either way" };
  },
};

/** Networks whose bridge is there; the others are only configured. */
function networksUp({ networks }: DoctorContext): string[] {
  using route = NetlinkSocket.open("route");
  const links = new Set<string>(listLinks(route).map((link) => link.name));
  return networks.filter((network) => links.has(network.bridge)).map((network) => network.name);
}

function isWritable(path: string): boolean {
  try {
    accessSync(path, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}
