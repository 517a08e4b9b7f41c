import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { ip, runOrThrow } from "../program.ts";
import { guestPorts, portsOf, scale, subnetOf } from "./scale.ts";

/** A host of its own: a router with one guest on a bridge and one machine outside, each in a namespace, with servers where they are needed. */
export type Host = Disposable & {
  router: string;
  /** Bits per second of one TCP stream from the guest to the machine outside; whole seconds, for iperf3 takes a fraction as endless. */
  throughput(ms: number): number;
  /** New connections per second from outside to the guest, one at a time; by a published port, or straight to its address where no rule forbids it. */
  connections(ms: number, via: "published" | "direct"): number;
};

export const bridge = { name: "nx-measured", port: "nmeasured", group: 0x4e000000 + scale.measured + 1 } as const;
export const guestMac = "02:00:5e:00:53:01";

const outsideAddress = "198.51.100.2";
const routerAddress = "198.51.100.1";

export async function makeHost(name: string): Promise<Host> {
  const [router, guest, outside] = [`${name}-router`, `${name}-guest`, `${name}-outside`];
  const { gateway, guest: guestAddress } = subnetOf(scale.measured);
  ip([router, guest, outside].map((netns) => `netns add ${netns}`));
  ip(
    [
      "link set lo up",
      `link add ${bridge.name} address 02:00:5e:00:53:fe group ${bridge.group} type bridge`,
      `addr add ${gateway}/24 dev ${bridge.name}`,
      `link add ${bridge.port} group ${bridge.group} type veth peer name eth0 address ${guestMac} netns ${guest}`,
      `link set ${bridge.port} master ${bridge.name} up`,
      `link set ${bridge.name} up`,
      `link add uplink type veth peer name eth0 netns ${outside}`,
      `addr add ${routerAddress}/24 dev uplink`,
      "link set uplink up",
    ],
    router,
  );
  ip(["link set lo up", `addr add ${guestAddress}/24 dev eth0`, "link set eth0 up", `route add default via ${gateway}`], guest);
  ip(
    ["link set lo up", `addr add ${outsideAddress}/24 dev eth0`, "link set eth0 up", `route add 10.0.0.0/8 via ${routerAddress}`],
    outside,
  );
  inside(router, "sh", [
    "-c",
    "echo 1 > /proc/sys/net/ipv4/ip_forward; for f in /proc/sys/net/bridge/bridge-nf-call-*; do [ ! -e $f ] || echo 0 > $f; done",
  ]);
  inside(outside, "sh", ["-c", "echo '1025 65535' > /proc/sys/net/ipv4/ip_local_port_range"]);

  const servers = new DisposableStack();
  await startServer(servers, outside, "iperf3", ["-s", "-A", "1", "-p", String(guestPorts.throughput), "--forceflush"], "Server listening");
  await startServer(
    servers,
    guest,
    "taskset",
    ["-c", "1", process.execPath, script("accept-loop.ts"), String(guestPorts.connections)],
    "ready",
  );

  return {
    router,
    throughput(ms) {
      const report = inside(guest, "iperf3", [
        "-c",
        outsideAddress,
        "-A",
        "0",
        "-p",
        String(guestPorts.throughput),
        "-t",
        String(ms / 1000),
        "-J",
      ]);
      return (JSON.parse(report) as { end: { sum_received: { bits_per_second: number } } }).end.sum_received.bits_per_second;
    },
    connections(ms, via) {
      const published = portsOf(scale.measured)[scale.portsEach / 2];
      const [address, port] = via === "direct" ? [guestAddress, guestPorts.connections] : [routerAddress, published];
      return Number(
        inside(outside, "taskset", ["-c", "0", process.execPath, script("connect-loop.ts"), String(address), String(port), String(ms)]),
      );
    },
    [Symbol.dispose]() {
      servers.dispose();
      ip([router, guest, outside].map((netns) => `netns del ${netns}`));
    },
  };
}

/** Runs a program in a namespace to its end and gives its stdout. */
export function inside(netns: string, program: string, args: readonly string[], input = ""): string {
  return runOrThrow("ip", ["netns", "exec", netns, program, ...args], input);
}

async function startServer(owner: DisposableStack, netns: string, ...[program, args, ready]: [string, string[], string]): Promise<void> {
  const child: ChildProcess = spawn("ip", ["netns", "exec", netns, program, ...args], { stdio: ["ignore", "pipe", "inherit"] });
  owner.defer(() => child.kill("SIGKILL"));
  const stdout = child.stdout;
  if (stdout === null) throw new Error(`${program} has no output`);
  const signal = AbortSignal.timeout(10_000);
  let said = "";
  while (!said.includes(ready)) said += String((await once(stdout, "data", { signal }))[0]);
  stdout.resume();
}

function script(name: string): string {
  return fileURLToPath(new URL(name, import.meta.url));
}
