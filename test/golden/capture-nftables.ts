/**
 * Writes nftables.json: the messages the real `nft` sends for the rules and elements of test/wire/nftables/*cases.ts, read by strace.
 * Run as `unshare -n node test/golden/capture-nftables.ts`. Nothing of Nexus encodes anything here: the text is nft's, so are the bytes.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { caseChains, caseCounters, caseSets, ruleCases } from "../wire/nftables/cases.ts";
import { elementCases } from "../wire/nftables/element-cases.ts";
import type { Family, NftSet } from "../../src/wire/nftables/model.ts";

/** Messages of one batch without its frame, in order: type, and body in hex. */
type Captured = { text: string; messages: { type: number; body: string }[] };

const directory = mkdtempSync(join(tmpdir(), "capture-"));
try {
  const rules: Record<string, Captured> = {};
  for (const { name, family, chain, text } of ruleCases) {
    run(["nft", "flush", "ruleset"]);
    load(prelude(family));
    rules[name] = { text, messages: traced(`add rule ${family} t ${chain} ${text}`) };
  }
  const sets: Record<string, Captured> = {};
  for (const { name, set, text } of elementCases) {
    run(["nft", "flush", "ruleset"]);
    load("table inet t {\nchain aside { }\ncounter total { }\n}");
    sets[name] = { text, messages: traced(`table inet t {\n${setText(set, ` elements = { ${text} };`)}\n}`) };
  }
  writeFileSync(new URL("./nftables.json", import.meta.url), `${JSON.stringify({ rules, sets }, undefined, 1)}\n`);
} finally {
  rmSync(directory, { recursive: true });
}

function prelude(family: Family): string {
  const chains = caseChains(family).map(({ name, base }) => `chain ${name} { ${base === undefined ? "" : `type ${base.type} hook ${base.hook} priority ${base.priority}; policy ${base.policy};`} }`);
  return [`table ${family} t {`, ...caseCounters.map((name) => `counter ${name} { }`), ...caseSets.map((set) => setText(set, "")), ...chains, "}"].join("\n");
}

function setText(set: NftSet, elements: string): string {
  const data = set.data === undefined ? "" : ` : ${typeof set.data === "string" ? set.data : set.data.join(" . ")}`;
  return `${set.data === undefined ? "set" : "map"} ${set.name} { type ${set.key.join(" . ")}${data};${set.interval ? " flags interval;" : ""}${set.timeout === undefined ? "" : " flags timeout;"}${elements} }`;
}

function load(text: string): void {
  const file = join(directory, "ruleset");
  writeFileSync(file, `${text}\n`);
  run(["nft", "-f", file]);
}

function run(words: string[]): void {
  execFileSync(words[0] ?? "", words.slice(1), { stdio: "pipe" });
}

function traced(text: string): Captured["messages"] {
  const file = join(directory, "traced");
  const log = join(directory, "trace");
  writeFileSync(file, `${text}\n`);
  run(["strace", "-e", "trace=sendmsg", "-e", "write=all", "-s", "0", "-o", log, "nft", "-f", file]);
  let hex = "";
  for (const line of readFileSync(log, "utf8").split("\n")) {
    const dump = /^ \| [0-9a-f]+  (.{47,49}?)  /.exec(line);
    if (dump !== null) hex += (dump[1] ?? "").replaceAll(" ", "");
  }
  return split(Buffer.from(hex, "hex"));
}

function split(bytes: Buffer): Captured["messages"] {
  const messages: Captured["messages"] = [];
  for (let at = 0; at < bytes.length; ) {
    const length = bytes.readUInt32LE(at);
    const type = bytes.readUInt16LE(at + 4);
    if (type >= 256) messages.push({ type, body: bytes.subarray(at + 16, at + length).toString("hex") });
    at += (length + 3) & ~3;
  }
  return messages;
}
