import { createSocket } from "node:dgram";
import { decodeMessage, encodeMessage, type ResourceRecord } from "../../../src/wire/dns/message.ts";
import { foldName, nameFromText, nameToText } from "../../../src/wire/dns/name.ts";
import { recordType } from "../../../src/wire/dns/numbers.ts";
import { ip } from "../../services/dns/sample.ts";
import type { NamesRequest, Zone } from "./names.ts";

// A resolver for tests, as a process of its own in the namespace where it listens. What it answers and was asked goes by messages.

let zone: Zone = {};
let asked: string[] = [];

process.on("message", ({ id, kind, ...more }: NamesRequest & { id: number }) => {
  if (kind === "zone" && "zone" in more) zone = more.zone;
  process.send?.({ id, asked });
  if (kind === "asked") asked = [];
});
process.on("disconnect", () => process.exit());

const socket = createSocket("udp4");
socket.on("message", (bytes, from) => {
  const query = decodeMessage(bytes);
  const question = query.questions[0];
  if (question === undefined) return;
  const name = nameToText(foldName(question.name));
  asked.push(name);
  const known = zone[name] ?? zone[name.replace(/^[^.]+/, "*")];
  const answers = known === undefined ? [] : recordsOf(name, question.type);
  const reply = { ...query, flags: 0x8180 | (known === undefined ? 3 : 0), answers, authorities: [], additionals: [] };
  setTimeout(() => socket.send(encodeMessage(reply).bytes, from.port, from.address), known?.delayMs ?? 0);
});
socket.bind(53, process.argv[2], () => process.send?.({ id: 0, asked }));

function recordsOf(name: string, type: number): ResourceRecord[] {
  const entry = zone[name] ?? zone[name.replace(/^[^.]+/, "*")];
  if (entry === undefined) return [];
  const head = { name: nameFromText(name), class: 1, ttl: entry.ttl ?? 300 };
  if (entry.alias !== undefined)
    return [{ ...head, data: { kind: "CNAME", target: nameFromText(entry.alias) } }, ...recordsOf(entry.alias, type)];
  const numbered = entry.numbered === undefined ? [] : [entry.numbered.replace("N", String(Number(/\d+/.exec(name)?.[0] ?? 0) % 250))];
  const addresses = [...(entry.addresses ?? []), ...numbered].map(ip);
  return addresses
    .filter((address) => address.includes(":") === (type === recordType.AAAA) && (type === recordType.A || type === recordType.AAAA))
    .map((address) => ({ ...head, data: { kind: address.includes(":") ? "AAAA" : "A", address } as ResourceRecord["data"] }));
}
