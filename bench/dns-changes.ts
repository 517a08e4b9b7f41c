import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { setTimeout as pause } from "node:timers/promises";
import { ipFromBytes } from "../src/base/ip.ts";
import { addressAt, makePrefix } from "../src/base/prefix.ts";
import type { DnsServer } from "../src/services/dns/server.ts";
import { encodeMessage } from "../src/wire/dns/message.ts";
import { nameFromText } from "../src/wire/dns/name.ts";
import { benchIp, benchName } from "./dns-names.ts";

/** Gives guests new addresses one after the other; for each, the ms until a query from outside sees it. */
export async function changeRecords(server: DnsServer, work: { port: number; changes: number; pauseMs: number }): Promise<number[]> {
  const socket = createSocket("udp4");
  socket.connect(work.port, "127.0.0.1");
  await once(socket, "connect");
  const network = benchName("lan");
  const pool = makePrefix(benchIp("10.65.0.0"), 16);
  const times: number[] = [];
  for (let i = 0; i < work.changes; i++) {
    // Another address each time a guest's turn comes round, so that the old one is never mistaken for the new.
    const address = addressAt(pool, (BigInt(i) + BigInt(work.pauseMs) * 20_000n) % 65_000n);
    const guest = benchName(`guest-${(i * 3) % 5000}`);
    const begin = performance.now();
    server.addGuest(network, { guest, addresses: [address] });
    while ((await askAddress(socket, `${guest}.lan.nexus`)) !== address) {
      if (performance.now() - begin > 1000) throw new Error(`the change of ${guest} is not visible after a second`);
    }
    times.push(performance.now() - begin);
    if (work.pauseMs > 0) await pause(work.pauseMs);
  }
  socket.close();
  return times;
}

/** The address at the end of the reply, which is where a reply with one answer and no EDNS has it. */
async function askAddress(socket: Socket, name: string): Promise<string> {
  socket.send(addressQuery(name));
  const [reply] = (await once(socket, "message", { signal: AbortSignal.timeout(1000) })) as [Buffer];
  return ipFromBytes(reply.subarray(reply.length - 4));
}

export function addressQuery(name: string): Buffer {
  return encodeMessage({
    id: 1,
    flags: 0x0100,
    questions: [{ name: nameFromText(name), type: 1, class: 1 }],
    answers: [],
    authorities: [],
    additionals: [],
  }).bytes;
}
