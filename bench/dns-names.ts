import { addressAt, makePrefix } from "../src/base/prefix.ts";
import { parseIp, type Ip } from "../src/base/ip.ts";
import { isFault, type Name, parseName } from "../src/base/names.ts";
import type { GuestRecord } from "../src/services/dns/zone.ts";

/** The same names for every server: guest-0 … on one network of 10.64.0.0/16. */
export function benchRecords(count: number): GuestRecord[] {
  const prefix = makePrefix(benchIp("10.64.0.0"), 16);
  return Array.from({ length: count }, (_, i) => ({ guest: benchName(`guest-${i}`), addresses: [addressAt(prefix, BigInt(i + 2))] }));
}

export function benchIp(text: string): Ip {
  const ip = parseIp(text);
  if (ip === undefined) throw new TypeError(`not an address: ${text}`);
  return ip;
}

export function benchName(text: string): Name {
  const name = parseName(text);
  if (isFault(name)) throw new TypeError(name.fault);
  return name;
}
