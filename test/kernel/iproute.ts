import { execFileSync } from "node:child_process";
import assert from "node:assert/strict";
import { type Ip, parseIp } from "../../src/base/ip.ts";
import { type Mac, parseMac } from "../../src/base/mac.ts";
import { type IfName, isFault, parseIfName } from "../../src/base/names.ts";
import { type Cidr, parseCidr, parsePrefix, type Prefix } from "../../src/base/prefix.ts";
import { KernelError } from "../../src/base/errors.ts";
import { createBridge } from "../../src/kernel/links.ts";
import type { Json } from "../golden/captured.ts";
import type { NetlinkSocket } from "../../src/kernel/netlink-socket.ts";

export const group = 0x4e000001;

/** Runs a command of iproute2 or conntrack: the other program that makes what we read and reads what we made. */
export function run(command: string): string {
  const words = command.split(" ");
  return execFileSync(words[0] ?? "", words.slice(1), { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
}

/** What `ip -j …` prints. */
export function shown(command: string): Json[] {
  const out = run(command);
  return out.trim() === "" ? [] : (JSON.parse(out) as Json[]);
}

/** The bridge nexus0, up, with 10.77.0.1/24 and fd00:77::1/64 to be added by who wants them. */
export function bridge(rt: NetlinkSocket): { index: number; name: IfName } {
  const index = createBridge(rt, { name: name("nexus0"), mac: mac("02:00:00:00:00:01"), mtuBytes: 1500, group, up: true });
  return { index, name: name("nexus0") };
}

/** Matches a KernelError that says exactly this before the kernel's own words. */
export function refusal(message: string, attribute?: string) {
  return (error: unknown): boolean => {
    assert.ok(error instanceof KernelError, String(error));
    assert.ok(error.message.startsWith(message), error.message);
    if (attribute !== undefined) assert.equal(error.ack?.attribute, attribute, error.message);
    return true;
  };
}

export function name(text: string): IfName {
  const parsed = parseIfName(text);
  assert.ok(!isFault(parsed));
  return parsed;
}

export function mac(text: string): Mac {
  return parseMac(text) ?? assert.fail(text);
}

export function ip(text: string): Ip {
  return parseIp(text) ?? assert.fail(text);
}

export function cidr(text: string): Cidr {
  return parseCidr(text) ?? assert.fail(text);
}

export function prefix(text: string): Prefix {
  const parsed = parsePrefix(text);
  assert.ok(typeof parsed === "string", text);
  return parsed;
}
