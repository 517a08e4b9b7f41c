import type { Brand } from "./brand.ts";

/** A network interface name the kernel takes: 1-15 bytes, no slash, colon or white space, not "." or ".." (net/core/dev.c dev_valid_name). */
export type IfName = Brand<string, "IfName">;

/** A name of a guest or network: a DNS label (RFC 1123 §2.1), lower case, 1-63 bytes. */
export type Name = Brand<string, "Name">;

/** The name, or one sentence on why it is none. We are stricter than the kernel: ASCII letters, digits, "-", "_", ".". */
export function parseIfName(text: string): IfName | { fault: string } {
  if (text === "") return { fault: "an interface name cannot be empty" };
  if (Buffer.byteLength(text) > 15) return { fault: `"${text}" has ${Buffer.byteLength(text)} bytes; an interface name has at most 15` };
  if (!/^[A-Za-z0-9_][A-Za-z0-9_.-]*$/.test(text))
    return { fault: `"${text}" has characters an interface name cannot have; use letters, digits, "-", "_" and "."` };
  if (text === "all" || text === "default") return { fault: `"${text}" is reserved: it means every interface under /proc/sys/net` };
  return text as IfName;
}

/** The name, or one sentence on why it is none. */
export function parseName(text: string): Name | { fault: string } {
  if (text === "") return { fault: "a name cannot be empty" };
  if (text.length > 63) return { fault: `"${text.slice(0, 20)}…" has ${text.length} characters; a name has at most 63` };
  if (!/^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/.test(text))
    return { fault: `"${text}" is no name; use lower-case letters, digits and "-", not at the ends` };
  return text as Name;
}

/** What a guest calls its n-th interface: eth0, eth1, … */
export function guestInterface(nic: number): IfName {
  return `eth${nic}` as IfName;
}

export function isFault<T>(value: T | { fault: string }): value is { fault: string } {
  return typeof value === "object" && value !== null && "fault" in value;
}
