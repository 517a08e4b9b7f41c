import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { type Ip, ipFamily, ipToBytes } from "../../base/ip.ts";
import type { Transport } from "../../base/port.ts";

/** Who holds a local address and port, `dnsmasq (pid 412)`; undefined when it cannot be seen. The unspecified address asks for any of its family. Reads /proc (proc_net(5)). */
export function portHolder(address: Ip, port: number, transport: Transport): string | undefined {
  const inodes = new Set<string>();
  for (const family of [4, 6] as const) {
    for (const line of readLines(`/proc/self/net/${transport}${family === 6 ? "6" : ""}`).slice(1)) {
      const fields = line.trim().split(/\s+/);
      const [host = "", hexPort = ""] = (fields[1] ?? "").split(":");
      const listens = transport === "udp" || fields[3] === tcpListen;
      if (
        listens &&
        Number.parseInt(hexPort, 16) === port &&
        (/^0+$/.test(host) || host === procAddress(address, family) || isAny(address, family))
      )
        inodes.add(fields[9] ?? "");
    }
  }
  return inodes.size === 0 ? undefined : ownerOf(inodes);
}

/** Local ports that have a listener, or for UDP any socket, on whatever address and of either family. */
export function portsInUse(transport: Transport): Set<number> {
  const ports = new Set<number>();
  for (const file of [transport, `${transport}6`]) {
    for (const line of readLines(`/proc/self/net/${file}`).slice(1)) {
      const [, local = "", , state] = line.trim().split(/\s+/, 4);
      if (transport === "udp" || state === tcpListen) ports.add(Number.parseInt(local.slice(local.lastIndexOf(":") + 1), 16));
    }
  }
  return ports;
}

const tcpListen = "0A";

function isAny(address: Ip, family: 4 | 6): boolean {
  return ipFamily(address) === family && ipToBytes(address).every((byte) => byte === 0);
}

/** The kernel prints each 32-bit word of the address in the machine's byte order. */
function procAddress(address: Ip, family: 4 | 6): string | undefined {
  if (ipFamily(address) !== family) return undefined;
  const bytes = ipToBytes(address);
  let text = "";
  for (let i = 0; i < bytes.length; i += 4)
    text += Buffer.from(bytes.subarray(i, i + 4))
      .reverse()
      .toString("hex");
  return text.toUpperCase();
}

function ownerOf(inodes: Set<string>): string | undefined {
  for (const pid of list("/proc")) {
    if (!/^\d+$/.test(pid)) continue;
    for (const fd of list(`/proc/${pid}/fd`)) {
      const inode = /^socket:\[(\d+)\]$/.exec(target(`/proc/${pid}/fd/${fd}`))?.[1];
      if (inode !== undefined && inodes.has(inode)) return `${readLines(`/proc/${pid}/comm`)[0] ?? "?"} (pid ${pid})`;
    }
  }
  return undefined;
}

function list(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}

function readLines(path: string): string[] {
  try {
    return readFileSync(path, "utf8")
      .split("\n")
      .filter((line) => line !== "");
  } catch {
    return [];
  }
}

function target(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return "";
  }
}
