import type { Brand } from "./brand.ts";

/** A TCP or UDP port, 1-65535. */
export type Port = Brand<number, "Port">;

export type Transport = "tcp" | "udp";

export function parsePort(text: string | number): Port | undefined {
  const value = typeof text === "number" ? text : /^[1-9]\d{0,4}$/.test(text) ? Number(text) : Number.NaN;
  return Number.isInteger(value) && value >= 1 && value <= 65535 ? (value as Port) : undefined;
}
