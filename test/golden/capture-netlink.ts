/**
 * Writes rtnetlink.json and conntrack.json: the bytes the real `ip`, `bridge` and `conntrack` send and get, read by strace.
 * Run as `unshare -n -m --propagation private node test/golden/capture-netlink.ts` with an empty tmpfs on /run/netns.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Sent and received payloads in order, in hex; `json` is what the tool itself prints about the same objects. */
type Capture = { command: string; sent: string[]; received: string[]; json?: unknown };

const group = "1308622849";

const steps: [room: "rtnetlink" | "conntrack" | "setup", name: string, command: string, json?: string][] = [
  ["setup", "", "ip netns add g"],
  ["rtnetlink", "bridge-add", `ip link add nexus0 address 02:00:00:00:00:01 mtu 1400 group ${group} type bridge stp_state 0 forward_delay 0 mcast_snooping 0`],
  ["rtnetlink", "veth-add", `ip link add nabc-web mtu 1400 address 02:00:00:00:00:02 group ${group} master nexus0 numtxqueues 1 numrxqueues 1 up type veth peer name eth0 address 02:00:00:00:00:03 mtu 1400 numtxqueues 1 numrxqueues 1 netns g`],
  ["rtnetlink", "altname-add", "ip link property add dev nabc-web altname nexus:demo:web"],
  ["rtnetlink", "addr4-add", "ip addr add 10.77.0.1/24 brd + dev nexus0"],
  ["rtnetlink", "addr6-add", "ip -6 addr add fd00:77::1/64 nodad dev nexus0"],
  ["setup", "", "ip link set nexus0 up"],
  ["setup", "", "ip link set lo up"],
  ["setup", "", "ip tuntap add ntap0 mode tap"],
  ["rtnetlink", "route4-add", "ip route add 10.99.0.0/16 via 10.77.0.2 dev nexus0 proto 78 metric 50"],
  ["rtnetlink", "route6-add", "ip -6 route add fd99::/64 via fd00:77::2 dev nexus0 proto 78"],
  ["rtnetlink", "default-add", "ip route add default via 10.77.0.3 dev nexus0 proto 78"],
  ["rtnetlink", "multipath-add", "ip route add 10.98.0.0/16 nexthop via 10.77.0.4 weight 2 nexthop via 10.77.0.5"],
  ["rtnetlink", "blackhole-add", "ip route add blackhole 10.97.0.0/16 table 1000"],
  ["rtnetlink", "port-set", "bridge link set dev nabc-web isolated on hairpin on learning off flood off mcast_flood off neigh_suppress on"],
  ["rtnetlink", "slave-set", "ip link set nabc-web type bridge_slave isolated on locked on"],
  ["rtnetlink", "master-clear", "ip link set nabc-web nomaster"],
  ["rtnetlink", "master-set", "ip link set nabc-web master nexus0"],
  ["setup", "", "ip link set nabc-web type bridge_slave isolated on locked on"],
  ["rtnetlink", "link-list", "ip -d -s link show", "ip -j -d -s link show"],
  ["rtnetlink", "addr-list", "ip addr show", "ip -j -d addr show"],
  ["rtnetlink", "route4-list", "ip -4 route show table all", "ip -j -d -4 route show table all"],
  ["rtnetlink", "route6-list", "ip -6 route show table all", "ip -j -d -6 route show table all"],
  ["rtnetlink", "route-get", "ip route get 10.99.1.1", "ip -j route get 10.99.1.1"],
  ["rtnetlink", "neigh-add", "ip neigh add 10.77.0.9 lladdr 02:00:00:00:00:09 dev nexus0"],
  ["rtnetlink", "neigh-list", "ip neigh show", "ip -j neigh show"],
  ["conntrack", "insert4", "conntrack -I -p udp -s 10.77.0.5 -d 10.77.0.1 --sport 5000 --dport 53 --timeout 100 --mark 7"],
  ["conntrack", "insert6", "conntrack -I -p tcp -s fd00:77::5 -d fd00:77::1 --sport 5000 --dport 80 --timeout 100 --state ESTABLISHED"],
  ["conntrack", "insert-icmp", "conntrack -I -p icmp -s 10.77.0.5 -d 10.77.0.1 --icmp-type 8 --icmp-code 0 --icmp-id 9 --timeout 100"],
  ["conntrack", "insert-dnat", "conntrack -I -p udp -s 10.77.0.6 -d 192.0.2.1 --sport 5001 --dport 53 --timeout 100 --dst-nat 10.77.0.9:5353"],
  ["conntrack", "list4", "conntrack -L -f ipv4"],
  ["conntrack", "list6", "conntrack -L -f ipv6"],
  ["conntrack", "delete", "conntrack -D -p udp --orig-port-dst 53"],
  ["rtnetlink", "group-delete", `ip link del group ${group}`],
];

const directory = mkdtempSync(join(tmpdir(), "capture-"));
try {
  const rooms: Record<string, Record<string, Capture>> = { rtnetlink: {}, conntrack: {} };
  for (const [room, name, command, json] of steps) {
    const words = command.split(" ");
    if (room === "setup") execFileSync(words[0] ?? "", words.slice(1));
    else (rooms[room] ??= {})[name] = { command, ...traced(words), ...(json === undefined ? {} : { json: output(json) }) };
  }
  for (const [room, captures] of Object.entries(rooms)) {
    writeFileSync(new URL(`./${room}.json`, import.meta.url), `${JSON.stringify(captures, undefined, 1)}\n`);
  }
} finally {
  rmSync(directory, { recursive: true });
}

function output(command: string): unknown {
  const words = command.split(" ");
  return JSON.parse(execFileSync(words[0] ?? "", words.slice(1), { encoding: "utf8" }));
}

function traced(words: string[]): { sent: string[]; received: string[] } {
  const log = join(directory, "trace");
  const calls = "trace=sendto,sendmsg,recvmsg,recvfrom";
  execFileSync("strace", ["-e", calls, "-e", "write=all", "-e", "read=all", "-s", "0", "-o", log, ...words], { stdio: "pipe" });
  const out = { sent: [] as string[], received: [] as string[] };
  let hex = "";
  let into: string[] | undefined;
  const flush = () => {
    if (hex !== "") into?.push(hex);
    hex = "";
  };
  for (const line of readFileSync(log, "utf8").split("\n")) {
    const dump = /^ \| [0-9a-f]+  (.{47,49}?)  /.exec(line);
    if (dump !== null) {
      hex += (dump[1] ?? "").replaceAll(" ", "");
      continue;
    }
    if (line.startsWith(" *")) continue;
    flush();
    into = line.startsWith("send") ? out.sent : out.received;
  }
  flush();
  return out;
}
