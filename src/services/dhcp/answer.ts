import type { Ipv4 } from "../../base/ipv4.ts";
import { type Mac, macToBytes } from "../../base/mac.ts";
import { broadcastFlag, type DhcpMessage, dhcpOp, dhcpType, optionsAt } from "../../wire/dhcp/message.ts";
import { type DhcpOptionName, optionCode, readOption } from "../../wire/dhcp/options.ts";
import { anyAddress, everyAddress, type Lease, refusalOptions, type ReplyInput, replyOptions } from "./reply-options.ts";

/** A message to send, to the client's own MAC or as a broadcast; what a client told us; or nothing to say. */
export type DhcpAnswer =
  | { kind: "offer" | "ack" | "nak"; message: DhcpMessage; to: Ipv4; from: Ipv4 }
  | { kind: "declined" | "released" }
  | { kind: "ignored" };

/** The answer of RFC 2131 §4.3 to the client a lease is for. `from` is the packet's source. @throws WireError when an option it needs is malformed */
export function answerDhcp(request: DhcpMessage, from: Ipv4, lease: Lease): DhcpAnswer {
  const exchange: Exchange = { request, from, lease };
  switch (readOption(request.options, "messageType")) {
    case dhcpType.discover:
      // RFC 4039: a client that offers to skip the second round trip is taken at its word.
      return readOption(request.options, "rapidCommit") === true ? grant(exchange, ["rapidCommit"]) : offer(exchange);
    case dhcpType.request:
      return answerRequest(exchange);
    case dhcpType.inform:
      return inform(exchange);
    case dhcpType.decline:
      return isOurs(exchange) ? { kind: "declined" } : ignored;
    case dhcpType.release:
      return isOurs(exchange) ? { kind: "released" } : ignored;
    default:
      // Types of servers, of other documents, and BOOTP, which has none.
      return ignored;
  }
}

type Exchange = { request: DhcpMessage; from: Ipv4; lease: Lease };

const ignored: DhcpAnswer = { kind: "ignored" };

/** The four states a DHCPREQUEST comes from are told apart by what it carries (RFC 2131 §4.3.2). */
function answerRequest(exchange: Exchange): DhcpAnswer {
  const { request, lease } = exchange;
  const requested = readOption(request.options, "requestedAddress");
  // A client that chose another server's offer says so with that server's address.
  if (!isOurs(exchange)) return ignored;
  if (request.clientAddress !== anyAddress) {
    // RENEWING and REBINDING.
    return request.clientAddress === lease.address ? grant(exchange, []) : refuse(exchange, request.clientAddress);
  }
  // SELECTING and INIT-REBOOT.
  if (requested === undefined) return ignored;
  return requested === lease.address ? grant(exchange, []) : refuse(exchange, requested);
}

/** No server is named, or we are. */
function isOurs({ request, lease }: Exchange): boolean {
  const serverId = readOption(request.options, "serverId");
  return serverId === undefined || serverId === lease.gateway;
}

function offer(exchange: Exchange): DhcpAnswer {
  const { lease } = exchange;
  const options = replyOptions(replyInput(exchange, dhcpType.offer), lease, lease.seconds);
  return sent("offer", exchange, { ...bareReply(exchange), yourAddress: lease.address, options });
}

function grant(exchange: Exchange, alsoEcho: readonly DhcpOptionName[]): DhcpAnswer {
  const { request, lease } = exchange;
  const options = replyOptions(replyInput(exchange, dhcpType.ack, alsoEcho), lease, lease.seconds);
  return sent("ack", exchange, {
    ...bareReply(exchange),
    clientAddress: request.clientAddress,
    yourAddress: lease.address,
    options,
  });
}

function refuse(exchange: Exchange, address: Ipv4): DhcpAnswer {
  const options = refusalOptions(replyInput(exchange, dhcpType.nak), `${address} is not the address of this client`);
  return sent("nak", exchange, { ...bareReply(exchange), options });
}

/** The client has its address from elsewhere and asks for the settings alone (RFC 2131 §4.3.5). */
function inform(exchange: Exchange): DhcpAnswer {
  const { request, from, lease } = exchange;
  const clientAddress = request.clientAddress === anyAddress ? from : request.clientAddress;
  if (clientAddress === anyAddress) return ignored;
  const options = replyOptions(replyInput(exchange, dhcpType.ack), lease, undefined);
  return sent("ack", exchange, { ...bareReply(exchange), clientAddress, options });
}

function bareReply({ request }: Exchange): DhcpMessage {
  return {
    ...request,
    op: dhcpOp.reply,
    hops: 0,
    seconds: 0,
    clientAddress: anyAddress,
    yourAddress: anyAddress,
    nextServer: anyAddress,
    serverName: "",
    bootFile: "",
    options: new Map(),
  };
}

function replyInput({ request, lease }: Exchange, type: number, alsoEcho: readonly DhcpOptionName[] = []): ReplyInput {
  const echo = new Map<number, Uint8Array>();
  for (const name of [...alsoEcho, "clientId", "relayInformation"] as const) {
    const code = optionCode(name);
    const data = request.options.get(code);
    if (data !== undefined) echo.set(code, data);
  }
  const asked = readOption(request.options, "maxMessageBytes") ?? everyClientTakes;
  const packetBytes = Math.min(Math.max(asked, everyClientTakes), Math.max(lease.mtuBytes, everyClientTakes));
  return {
    type,
    serverId: lease.gateway,
    parameters: readOption(request.options, "parameters"),
    limitBytes: packetBytes - ipAndUdpHeaders - optionsAt - endOption,
    echo,
  };
}

/** RFC 2131 §4.1: where an answer goes when no relay stands between. */
function sent(kind: "offer" | "ack" | "nak", { request, lease }: Exchange, message: DhcpMessage): DhcpAnswer {
  const from = lease.gateway;
  if (kind === "nak") return { kind, message, from, to: everyAddress };
  if (message.clientAddress !== anyAddress) return { kind, message, from, to: message.clientAddress };
  return { kind, message, from, to: (request.flags & broadcastFlag) === 0 ? message.yourAddress : everyAddress };
}

/** Whether a message is a client's, on Ethernet, and speaks for the MAC it came from with no relay between. */
export function speaksFor(request: DhcpMessage, mac: Mac): boolean {
  if (request.op !== dhcpOp.request || request.hardwareType !== 1 || request.relay !== anyAddress) return false;
  return Buffer.compare(request.hardwareAddress, macToBytes(mac)) === 0;
}

/** RFC 2131 §2. */
const everyClientTakes = 576;
const ipAndUdpHeaders = 28;
const endOption = 1;
