import { readFileSync } from "node:fs";
import { type NetlinkMessage, readMessages } from "../../src/wire/netlink/message.ts";

/** What a tool prints as JSON: looked into as deep as a test needs. */
// oxlint-disable-next-line typescript/no-explicit-any -- the tools have no types, and what a test reads it compares
export type Json = Record<string, any>;

/** What capture-netlink.ts wrote down about one command: every message each way, and the tool's own JSON of the same objects. */
export type Captured = { command: string; sent: NetlinkMessage[]; received: NetlinkMessage[]; json: Json[] };

export function captured(room: "rtnetlink" | "conntrack", name: string): Captured {
  const file = JSON.parse(readFileSync(new URL(`./${room}.json`, import.meta.url), "utf8")) as Record<string, Raw>;
  const raw = file[name];
  if (raw === undefined) throw new RangeError(`nothing was captured as ${name}`);
  return { command: raw.command, sent: raw.sent.flatMap(parts), received: raw.received.flatMap(parts), json: raw.json ?? [] };
}

/** The request that did what the command says: the tools look things up first. */
export function request(room: "rtnetlink" | "conntrack", name: string): NetlinkMessage {
  const last = captured(room, name).sent.at(-1);
  if (last === undefined) throw new RangeError(`${name} sent nothing`);
  return last;
}

type Raw = { command: string; sent: string[]; received: string[]; json?: Json[] };

/** iproute2 sends some dump requests with the rest of its buffer, zeros, behind them. */
function parts(hex: string): NetlinkMessage[] {
  const bytes = Buffer.from(hex, "hex");
  let end = 0;
  while (end + 4 <= bytes.length && bytes.readUInt32LE(end) !== 0) end += (bytes.readUInt32LE(end) + 3) & ~3;
  return readMessages(Uint8Array.from(bytes.subarray(0, end)));
}
