import { NexusError } from "../base/errors.ts";
import { parseBody } from "./body.ts";
import { type Config, config } from "./config.ts";
import { nearest } from "./nearest.ts";

/** The keys of nexus.yaml that `nexus config set` can change on a running host. Where state lies is not among them: it is kept there. */
export const settingKeys = {
  "network.bridge_name": { holds: "text", meaning: "bridge of the default network" },
  "network.subnet": { holds: "text", meaning: "subnet of the default network; auto takes a free one" },
  "network.dns_servers": { holds: "list", meaning: "upstream resolvers of the default network instead of dns.upstreams" },
  "dns.upstreams": { holds: "list", meaning: "resolvers for names Nexus does not serve instead of the host's own" },
  "dns.domain": { holds: "text", meaning: "domain of all guests: GUEST.NETWORK.DOMAIN" },
  hosts_file: { holds: "text", meaning: "file for this host's programs to find guests by name, as /etc/hosts; off for none" },
  log_level: { holds: "text", meaning: "what nexusd logs: debug, info, warn or error" },
  "sandbox.rootfs": {
    holds: "text",
    meaning: "root file system of untrusted commands: host, a directory, an archive, URL#sha256:DIGITS, or auto",
  },
  "sandbox.rootfs_amd64": { holds: "text", meaning: "what auto is on x86-64: URL#sha256:DIGITS" },
  "sandbox.rootfs_arm64": { holds: "text", meaning: "what auto is on arm64: URL#sha256:DIGITS" },
} as const satisfies Record<string, { holds: "text" | "list"; meaning: string }>;

export type SettingKey = keyof typeof settingKeys;

/** A setting as it will be kept; a list may come as text separated by commas, "" being none. @throws NexusError not-found for an unknown key, SpecError for a value that will not do */
export function parseSetting(key: string, given: unknown): { key: SettingKey; value: unknown } {
  const known = asKey(key);
  const value = settingKeys[known].holds === "list" && typeof given === "string" ? listOf(given) : given;
  parseBody(config, nested(known, value));
  return { key: known, value };
}

/** The file's configuration with the stored settings over it. @throws SpecError when a stored value will not do any more */
export function withSettings(file: Config, settings: ReadonlyMap<string, unknown>): Config {
  const merged: Record<string, unknown> = { ...file, network: { ...file.network }, dns: { ...file.dns }, sandbox: { ...file.sandbox } };
  for (const [key, value] of settings) {
    const [group, leaf] = split(asKey(key));
    if (leaf === undefined) merged[group] = value;
    else (merged[group] as Record<string, unknown>)[leaf] = value;
  }
  return parseBody(config, merged);
}

/** One line for whoever reads `nexus config show`. @throws NexusError not-found */
export function settingMeaning(key: string): string {
  return settingKeys[asKey(key)].meaning;
}

/** What a configuration says under a key. */
export function settingOf(from: Config, key: string): unknown {
  const [group, leaf] = split(asKey(key));
  const value: unknown = from[group];
  return leaf === undefined ? value : (value as Record<string, unknown>)[leaf];
}

function listOf(text: string): string[] {
  return text === "" ? [] : text.split(",").map((part) => part.trim());
}

function nested(key: SettingKey, value: unknown): object {
  const [group, leaf] = split(key);
  return leaf === undefined ? { [group]: value } : { [group]: { [leaf]: value } };
}

function split(key: SettingKey): [group: keyof Config, leaf: string | undefined] {
  const [group = "", leaf] = key.split(".");
  return [group as keyof Config, leaf];
}

function asKey(key: string): SettingKey {
  if (Object.hasOwn(settingKeys, key)) return key as SettingKey;
  const meant = nearest(key, Object.keys(settingKeys));
  throw new NexusError("not-found", `there is no setting ${key}`, {
    hint: meant === undefined ? `settings: ${Object.keys(settingKeys).join(", ")}` : `did you mean ${meant}?`,
  });
}
