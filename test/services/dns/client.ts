import { execFile } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { promisify } from "node:util";
import { ednsRecord } from "../../../src/wire/dns/edns.ts";
import { decodeMessage, encodeMessage, type Message } from "../../../src/wire/dns/message.ts";
import { nameFromText } from "../../../src/wire/dns/name.ts";

export type Server = { address: string; port: number };

/** dig's report of one query: status, flags, the answer lines with single spaces, the number of records per section, all text. */
export async function dig(
  server: Server,
  ...words: string[]
): Promise<{ status: string; flags: string; answers: string[]; authority: string[]; text: string }> {
  const args = [`@${server.address}`, "-p", String(server.port), "+tries=1", "+time=5", ...words];
  const { stdout: text } = await promisify(execFile)("dig", args).catch((error: { stdout: string }) => error);
  const section = (name: string) => {
    const lines = new RegExp(`;; ${name} SECTION:\\n([^;]*?)\\n\\n`).exec(text)?.[1] ?? "";
    return lines
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => line.replaceAll(/\s+/g, " "));
  };
  return {
    status: /status: (\w+)/.exec(text)?.[1] ?? "none",
    flags: /flags: ([\w ]*);/.exec(text)?.[1] ?? "",
    answers: section("ANSWER"),
    authority: section("AUTHORITY"),
    text,
  };
}

export function queryBytes(name: string, type: number, extra: { id?: number; flags?: number; payloadBytes?: number } = {}): Buffer {
  const edns =
    extra.payloadBytes === undefined
      ? []
      : [ednsRecord({ payloadBytes: extra.payloadBytes, extendedCode: 0, version: 0, dnssecOk: false, options: [] })];
  return encodeMessage({
    id: extra.id ?? 1,
    flags: extra.flags ?? 0x0100,
    questions: [{ name: nameFromText(name), type, class: 1 }],
    answers: [],
    authorities: [],
    additionals: edns,
  }).bytes;
}

/** One query over UDP and its reply. @throws AbortError after the deadline */
export async function ask(
  server: Server,
  name: string,
  { type = 1, from, deadlineMs = 6000 }: { type?: number; from?: string; deadlineMs?: number } = {},
): Promise<Message> {
  const socket = createSocket("udp4");
  try {
    if (from !== undefined) {
      socket.bind(0, from);
      await once(socket, "listening");
    }
    socket.send(queryBytes(name, type), server.port, server.address);
    const [reply] = (await once(socket, "message", { signal: AbortSignal.timeout(deadlineMs) })) as [Buffer];
    return decodeMessage(reply);
  } finally {
    socket.close();
  }
}

export function codeOf(message: Message): number {
  return message.flags & 15;
}

export function addressesOf(message: Message): string[] {
  return message.answers.map((record) =>
    record.data.kind === "A" || record.data.kind === "AAAA" ? record.data.address : record.data.kind,
  );
}

/** Asks a condition on each turn of the event loop until it holds. @throws Error after three seconds */
export async function until(condition: () => boolean): Promise<void> {
  const end = performance.now() + 3000;
  while (!condition()) {
    if (performance.now() > end) throw new Error(`${String(condition)} did not come true`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}
