import type { Clock } from "../../base/clock.ts";
import type { Ipv6 } from "../../base/ipv6.ts";
import type { Log } from "../../base/log.ts";
import { type Mac, parseMac } from "../../base/mac.ts";
import type { IfName } from "../../base/names.ts";
import type { PacketWish } from "../../kernel/packet-filter.ts";
import { interfaceNumber, PacketSocket, type ReceivedPacket } from "../../kernel/packet-socket.ts";
import { type HeldPort, holdPort } from "../../kernel/port-hold.ts";
import { FloodGuard } from "../dns/flood-guard.ts";

/** About 2,000 waiting requests: a whole network that boots at once. */
const receiveBufferBytes = 4 * 1024 * 1024;
/** Then others have their turn. */
const packetsPerTurn = 200;

export type BridgeListenerOptions = {
  bridge: IfName;
  wish: PacketWish;
  groups?: HeldPort["groups"];
  receive: (packet: ReceivedPacket) => void;
  log: Log;
  clock: Clock;
};

/** Requests of guests to the services of one bridge, and the way to answer them; guarded against floods of a single guest. */
export class BridgeListener implements Disposable {
  readonly #options: BridgeListenerOptions;
  readonly #socket: PacketSocket;
  readonly #guard: FloodGuard;
  readonly #stack: DisposableStack;

  /** @throws KernelError, ENODEV when there is no such bridge */
  constructor(options: BridgeListenerOptions) {
    using stack = new DisposableStack();
    const { bridge, wish, log, clock } = options;
    this.#options = options;
    const socket = stack.use(new PacketSocket({ interface: bridge, wish, receiveBytes: receiveBufferBytes }));
    this.#socket = socket;
    holdWherePossible(stack, options);
    this.#guard = stack.use(
      new FloodGuard({
        now: () => clock.monotonic(),
        socket: {
          queueFill: () => socket.queueFill(),
          refuse: (clients) => socket.refuse(clients.map(parseMac).filter((mac) => mac !== undefined)),
        },
        onBlock: (client, ms) =>
          log.warn({ bridge, client, ms }, "a guest floods the services of its network; it is not heard for a while"),
      }),
    );
    stack.use(socket.watch(() => this.#drain()));
    this.#stack = stack.move();
  }

  /** The bridge's own MAC, from which answers come. */
  get mac(): Mac {
    return this.#socket.mac;
  }

  /** Where hosts reach this router on the link. */
  linkLocalAddress(): Ipv6 {
    return this.#socket.linkLocalAddress();
  }

  /** Whether the bridge is still the one this listens to: a bridge made anew under its name is another. */
  get alive(): boolean {
    return interfaceNumber(this.#options.bridge) === this.#socket.interfaceIndex;
  }

  /** False when the bridge did not take it. */
  send(to: Mac, packet: Uint8Array): boolean {
    return this.#socket.send(to, packet);
  }

  [Symbol.dispose](): void {
    this.#stack[Symbol.dispose]();
  }

  #drain(): void {
    const { bridge, receive, log } = this.#options;
    for (let i = 0; i < packetsPerTurn && !this.#stack.disposed; i++) {
      const received = this.#socket.receive();
      if (received === undefined) return;
      if (received === "down") {
        log.info({ bridge }, "a bridge went down; its guests are not heard until it is up");
        continue;
      }
      this.#guard.saw(received.from);
      try {
        receive(received);
      } catch (error) {
        // One packet must never end the daemon; its bytes are what a report needs.
        log.error({ error, bridge, packet: Buffer.from(received.packet).toString("hex") }, "a packet of a guest could not be handled");
      }
    }
  }
}

/** Answers go by the packet socket and need no port, so another program that has it is no reason to stop. */
function holdWherePossible(stack: DisposableStack, { bridge, wish, groups = [], log }: BridgeListenerOptions): void {
  const family = wish.protocol === "ipv4" ? 4 : 6;
  try {
    stack.use(holdPort({ interface: bridge, family, port: wish.udpPort, groups }));
  } catch (error) {
    log.warn({ bridge, port: wish.udpPort, error }, "another program has the port on every interface and may answer guests as well");
  }
}
