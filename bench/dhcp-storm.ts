import type { Ipv4 } from "../src/base/ipv4.ts";
import { parseIpv4 } from "../src/base/ipv4.ts";
import { macToBytes } from "../src/base/mac.ts";
import { decodeDhcp, type DhcpMessage, dhcpOp, dhcpPort, dhcpType, encodeDhcp } from "../src/wire/dhcp/message.ts";
import { readOption, writeOption } from "../src/wire/dhcp/options.ts";
import { decodeUdp4, encodeUdp4 } from "../src/wire/dhcp/udp4.ts";
import { interfaceNumber } from "../src/kernel/packet-socket.ts";
import type { IfName } from "../src/base/names.ts";
import { libc } from "../src/sys/libc.ts";
import type { Fd } from "../src/sys/fd.ts";
import {
  bindSocket,
  family,
  openSocket,
  sendDatagram,
  setReceiveTimeout,
  socketOption,
  socketType,
  trySocketOption,
} from "../src/sys/socket.ts";
import type { BenchClient } from "./dhcp-clients.ts";

/** `latenciesMs`: of each client from its first DISCOVER to its ACK. `wrong`: got another address than its own. */
export type StormResult = { seconds: number; served: number; wrong: number; repeats: number; latenciesMs: number[] };

type Attempt = { client: BenchClient; transaction: number; begun: number; said: number; offer: DhcpMessage | undefined };

/** Many DHCP clients behind one interface, each with a MAC of its own. Open it in the clients' namespace. */
export class Storm implements Disposable {
  readonly #fd: Fd;
  readonly #frame = Buffer.alloc(2048);
  #transaction = 1;

  constructor(device: IfName) {
    this.#fd = openSocket(family.packet, socketType.raw);
    trySocketOption(this.#fd, socketOption.receiveBufferForce, 16 << 20);
    setReceiveTimeout(this.#fd, 20);
    const address = Buffer.alloc(20);
    address.writeUInt16LE(family.packet, 0);
    address.writeUInt16BE(0x0800, 2);
    address.writeInt32LE(interfaceNumber(device) ?? 0, 4);
    bindSocket(this.#fd, address, `storm on ${device}`);
  }

  /** DISCOVER to ACK for every client, at most `window` of them at once; who hears nothing asks again after a second. */
  run(clients: readonly BenchClient[], { window, deadlineMs }: { window: number; deadlineMs: number }): StormResult {
    const waiting = [...clients].reverse();
    const open = new Map<number, Attempt>();
    const result: StormResult = { seconds: 0, served: 0, wrong: 0, repeats: 0, latenciesMs: [] };
    const begin = performance.now();
    for (;;) {
      while (open.size < window && waiting.length > 0) this.#start(waiting.pop() as BenchClient, open);
      if (open.size === 0) break;
      const now = performance.now();
      if (now - begin > deadlineMs) break;
      const reply = this.#receive();
      if (reply === undefined) result.repeats += this.#repeat(open);
      else this.#advance(reply, open, result);
    }
    result.seconds = (performance.now() - begin) / 1000;
    return result;
  }

  [Symbol.dispose](): void {
    this.#fd[Symbol.dispose]();
  }

  #start(client: BenchClient, open: Map<number, Attempt>): void {
    const now = performance.now();
    const attempt: Attempt = { client, transaction: this.#transaction++, begun: now, said: now, offer: undefined };
    open.set(attempt.transaction, attempt);
    this.#say(attempt);
  }

  #advance(reply: DhcpMessage, open: Map<number, Attempt>, result: StormResult): void {
    const attempt = open.get(reply.transaction);
    if (attempt === undefined) return;
    const type = readOption(reply.options, "messageType");
    if (type === dhcpType.offer && attempt.offer === undefined) {
      attempt.offer = reply;
      this.#say(attempt);
    } else if (type === dhcpType.ack) {
      open.delete(reply.transaction);
      result.served++;
      if (reply.yourAddress !== attempt.client.address) result.wrong++;
      result.latenciesMs.push(performance.now() - attempt.begun);
    }
  }

  #repeat(open: Map<number, Attempt>): number {
    const now = performance.now();
    const silent = [...open.values()].filter((attempt) => now - attempt.said > 1000);
    for (const attempt of silent) this.#say(attempt);
    return silent.length;
  }

  #say(attempt: Attempt): void {
    attempt.said = performance.now();
    const options = new Map<number, Uint8Array>();
    writeOption(options, "messageType", attempt.offer === undefined ? dhcpType.discover : dhcpType.request);
    if (attempt.offer !== undefined) {
      writeOption(options, "requestedAddress", attempt.offer.yourAddress);
      writeOption(options, "serverId", readOption(attempt.offer.options, "serverId") ?? none);
    }
    writeOption(options, "parameters", Uint8Array.of(1, 3, 6, 12, 15, 26, 28));
    const mac = macToBytes(attempt.client.mac);
    const message: DhcpMessage = {
      ...blank,
      transaction: attempt.transaction,
      hardwareAddress: mac,
      options,
    };
    const ports = { sourcePort: dhcpPort.client, destinationPort: dhcpPort.server };
    const packet = encodeUdp4({ source: none, destination: everyone, ...ports, payload: encodeDhcp(message) });
    const frame = Buffer.concat([Buffer.alloc(6, 255), mac, Uint8Array.of(8, 0), packet]);
    sendDatagram(this.#fd, frame, "send as a DHCP client");
  }

  /** The next reply to any client, or undefined when none came for a moment. */
  #receive(): DhcpMessage | undefined {
    for (;;) {
      const length = Number(libc().recvfrom(this.#fd.number, this.#frame, this.#frame.length, 0, null, null));
      if (length < 0) return undefined;
      if (this.#frame[etherHeader + 9] !== protocolUdp) continue;
      const datagram = decodeUdp4(this.#frame.subarray(etherHeader, length));
      if (datagram.destinationPort === dhcpPort.client) return decodeDhcp(datagram.payload);
    }
  }
}

const none = parseIpv4("0.0.0.0") as Ipv4;
const blank = {
  op: dhcpOp.request,
  hardwareType: 1,
  hops: 0,
  seconds: 0,
  flags: 0,
  clientAddress: none,
  yourAddress: none,
  nextServer: none,
  relay: none,
  serverName: "",
  bootFile: "",
};
const etherHeader = 14;
const protocolUdp = 17;
const everyone = parseIpv4("255.255.255.255") as Ipv4;
