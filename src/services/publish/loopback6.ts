import { type Ip, isIpv4 } from "../../base/ip.ts";
import type { Transport } from "../../base/port.ts";
import { carryTcp, type TcpAllowance, TcpCount } from "./carry-tcp.ts";
import { carryUdp, type UdpAllowance } from "./carry-udp.ts";
import { type Carrier, type Destination, loopback6 } from "./destination.ts";

/** A published port with the guest's addresses; a PublishRecord of plan/ is one. */
export type LoopbackPublish = {
  protocol: Transport;
  hostAddress?: Ip | undefined;
  hostPort: number;
  hostPortEnd?: number | undefined;
  guestPort: number;
  targets: readonly Ip[];
};

export type Loopback6Options = {
  /** Told once for each port that cannot be carried, with the reason in words; it is tried again with every `set`. */
  onProblem: (port: { protocol: Transport; port: number }, problem: string) => void;
  tcp?: TcpAllowance;
  udp?: UdpAllowance;
  /** Ports open at once. */
  ports?: number;
};

type Wanted = { protocol: Transport; port: number; to: Destination };
type Open = { wanted: Wanted; carrier: Carrier; ready: Promise<void> };

/**
 * Carries what is published on ::1 and nowhere else. The ruleset cannot: a packet from ::1 may not leave the loopback device,
 * so the daemon accepts here and connects to the guest itself, which sees the gateway's address.
 */
export class Loopback6Publisher implements AsyncDisposable {
  readonly #o: Loopback6Options;
  readonly #tcp: TcpCount;
  readonly #open = new Map<string, Open>();
  readonly #failing = new Map<string, string>();

  constructor(options: Loopback6Options) {
    this.#o = options;
    this.#tcp = new TcpCount(options.tcp ?? { connections: 1024, connectMs: 10_000 });
  }

  /** All publishes there are; those of other host addresses are left to the ruleset. Resolves when every port is open or has been told as a problem. */
  async set(publishes: readonly LoopbackPublish[]): Promise<void> {
    const wanted = new Map(publishes.flatMap(portsOf).map((w) => [keyOf(w), w]));
    for (const [key, { wanted: had, carrier }] of this.#open) {
      const now = wanted.get(key);
      if (now !== undefined && now.to.address === had.to.address && now.to.port === had.to.port) continue;
      this.#open.delete(key);
      carrier[Symbol.dispose]();
    }
    for (const key of this.#failing.keys()) if (!wanted.has(key)) this.#failing.delete(key);
    for (const [key, each] of wanted) if (!this.#open.has(key)) this.#start(key, each);
    await Promise.all([...this.#open.values()].map((open) => open.ready));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.set([]);
  }

  #start(key: string, wanted: Wanted): void {
    const limit = this.#o.ports ?? 1024;
    if (this.#open.size >= limit) return this.#tell(key, wanted, `${limit} ports are published on ::1 already, the most that are carried`);
    const { protocol, port, to } = wanted;
    const carrier =
      protocol === "tcp" ? carryTcp(port, to, this.#tcp) : carryUdp(port, to, this.#o.udp ?? { clients: 512, idleMs: 60_000 });
    const open: Open = { wanted, carrier, ready: Promise.resolve() };
    open.ready = carrier.opened.then(
      () => void this.#failing.delete(key),
      (error: Error) => {
        carrier[Symbol.dispose]();
        if (this.#open.get(key) !== open) return;
        this.#open.delete(key);
        this.#tell(key, wanted, error.message);
      },
    );
    this.#open.set(key, open);
  }

  #tell(key: string, { protocol, port }: Wanted, problem: string): void {
    if (this.#failing.get(key) === problem) return;
    this.#failing.set(key, problem);
    this.#o.onProblem({ protocol, port }, problem);
  }
}

function portsOf(publish: LoopbackPublish): Wanted[] {
  if (publish.hostAddress !== loopback6) return [];
  const address = publish.targets.find((target) => !isIpv4(target)) ?? publish.targets[0];
  if (address === undefined) return [];
  const width = (publish.hostPortEnd ?? publish.hostPort) - publish.hostPort + 1;
  return Array.from({ length: width }, (_, i) => ({
    protocol: publish.protocol,
    port: publish.hostPort + i,
    to: { address, port: publish.guestPort + i },
  }));
}

function keyOf({ protocol, port }: Wanted): string {
  return `${protocol} ${port}`;
}
