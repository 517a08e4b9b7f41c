import { createHash } from "node:crypto";
import { LineCounter, parseDocument } from "yaml";
import { SpecError } from "../base/errors.ts";
import { cloudYaml } from "./cloud-yaml.ts";

type Config = Record<string, unknown>;

/** Kinds of user data by how they begin (cloud-init, "User data formats"), the longer beginning first. */
const kinds: readonly [start: RegExp, mediaType: string][] = [
  [/^#cloud-config-archive\b/, "text/cloud-config-archive"],
  [/^#cloud-config-jsonp\b/, "text/cloud-config-jsonp"],
  [/^#cloud-boothook\b/, "text/cloud-boothook"],
  [/^#part-handler\b/, "text/part-handler"],
  [/^#include-once\b/, "text/x-include-once-url"],
  [/^#include\b/, "text/x-include-url"],
  [/^## template: *jinja/, "text/jinja2"],
  [/^#!/, "text/x-shellscript"],
];

/**
 * Our own cloud-config together with the user's data: merged when that is a cloud-config too, else both as parts of one message.
 * Where both say something the user's word holds; lists are joined, the user's first.
 * @throws SpecError for data of no known kind, and for YAML that cannot be read or merged
 */
export function userDataOf(own: Config, given: string | undefined): string {
  const text = given?.replace(/^\ufeff/, "").replaceAll("\r\n", "\n") ?? "";
  if (text.trim() === "") return configText(own);
  if (isCloudConfig(text)) return configText(mergeConfig(own, readConfig(text)));
  // Joined by cloud-init when it runs, in the way mergeConfig does.
  const ours = { ...own, merge_how: "list(append)+dict(no_replace,recurse_list)+str()" };
  return message([partOf(text), encodedPart("text/cloud-config", configText(ours))]);
}

/** Ours where the user said nothing. @throws SpecError where the user has no list, and ours would be lost */
export function mergeConfig(own: Config, theirs: Config): Config {
  const merged: Config = { ...theirs };
  const problems: { path: string; problem: string }[] = [];
  for (const [key, mine] of Object.entries(own)) {
    const other = theirs[key];
    const [kind, otherKind] = [kindOf(mine), kindOf(other)];
    if (other === undefined || other === null) merged[key] = mine;
    else if (kind === "list" && otherKind !== "list")
      problems.push({ path: `user_data.${key}`, problem: `must be a list, not a ${otherKind}` });
    else if (Array.isArray(other) && Array.isArray(mine)) merged[key] = [...other, ...mine.filter((item) => !other.includes(item))];
    else if (kind === "mapping" && otherKind === "mapping") merged[key] = { ...(mine as Config), ...(other as Config) };
  }
  if (problems.length > 0) throw new SpecError(problems);
  return merged;
}

function configText(config: Config): string {
  return `#cloud-config\n${cloudYaml(config)}`;
}

function isCloudConfig(text: string): boolean {
  return /^#cloud-config[ \t]*(\n|$)/.test(text);
}

/** As PyYAML reads it: YAML 1.1. */
function readConfig(text: string): Config {
  const lines = new LineCounter();
  const document = parseDocument(text, { version: "1.1", lineCounter: lines, prettyErrors: false, logLevel: "error" });
  const faults = document.errors.slice(0, 20).map((fault) => {
    const { line, col } = lines.linePos(fault.pos[0]);
    return { path: "user_data", problem: fault.message, place: `user_data:${line}:${col}` };
  });
  if (faults.length > 0) throw new SpecError(faults);
  const value = plainValue(() => document.toJS({ maxAliasCount: 100 }) as unknown);
  if (value === null || value === undefined) return {};
  if (kindOf(value) === "mapping") return value as Config;
  throw new SpecError([{ path: "user_data", problem: `must be a mapping after its first line, not a ${kindOf(value)}` }]);
}

function plainValue(read: () => unknown): unknown {
  try {
    return read();
  } catch (error) {
    throw new SpecError([{ path: "user_data", problem: `cannot be read: ${(error as Error).message.split("\n", 1)[0] ?? ""}` }]);
  }
}

function kindOf(value: unknown): "list" | "mapping" | "scalar" {
  if (Array.isArray(value)) return "list";
  return typeof value === "object" && value !== null && !(value instanceof Date) && !(value instanceof Uint8Array) ? "mapping" : "scalar";
}

/** A message of parts (RFC 2046 §5.1). Its boundary is made of what it holds, and can stand in none of it. */
function message(parts: readonly string[]): string {
  const boundary = `nexus-${createHash("sha256").update(parts.join("\n")).digest("hex").slice(0, 32)}`;
  const head = `Content-Type: multipart/mixed; boundary="${boundary}"\nMIME-Version: 1.0\n\n`;
  return `${head}${parts.map((part) => `--${boundary}\n${part}\n`).join("")}--${boundary}--\n`;
}

function partOf(text: string): string {
  // A message of its own goes in as it is: parts within parts are walked through, and may not be encoded.
  if (/^(MIME-Version|Content-Type):/i.test(text)) return text;
  const kind = kinds.find(([start]) => start.test(text))?.[1];
  if (kind !== undefined) return encodedPart(kind, text);
  throw new SpecError([
    {
      path: "user_data",
      problem: `begins with ${JSON.stringify(text.split("\n", 1)[0]?.slice(0, 40))}, and cloud-init would not know what it is`,
      hint: "begin it with #cloud-config, or with #! for a script",
    },
  ]);
}

function encodedPart(mediaType: string, text: string): string {
  const lines =
    Buffer.from(text)
      .toString("base64")
      .match(/.{1,76}/g) ?? [];
  return `Content-Type: ${mediaType}; charset="utf-8"\nMIME-Version: 1.0\nContent-Transfer-Encoding: base64\n\n${lines.join("\n")}`;
}
