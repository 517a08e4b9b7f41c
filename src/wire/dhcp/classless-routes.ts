import { WireError } from "../../base/errors.ts";
import { ipFromBytes, ipToBytes } from "../../base/ip.ts";
import type { Ipv4 } from "../../base/ipv4.ts";
import { makePrefix, type Prefix, prefixAddress, prefixLength } from "../../base/prefix.ts";
import type { OptionCodec } from "./codecs.ts";

/** `via` 0.0.0.0 means the destination is on the link. */
export type ClasslessRoute = { destination: Prefix; via: Ipv4 };

/** RFC 3442: a prefix length, as many octets of the prefix as it needs, the router. Bits beyond the length are cleared. */
export const classlessRoutesCodec: OptionCodec<readonly ClasslessRoute[]> = {
  decode(data, path) {
    const routes: ClasslessRoute[] = [];
    for (let at = 0; at < data.length;) {
      const length = data[at] ?? 0;
      if (length > 32) throw new WireError(path, `prefix length ${length} is not within 0-32`, at);
      const octets = significantOctets(length);
      const end = at + 1 + octets + 4;
      if (end > data.length) throw new WireError(path, "a route runs past the end", at);
      const destination = new Uint8Array(4);
      destination.set(data.subarray(at + 1, at + 1 + octets));
      const via = ipFromBytes(data.subarray(end - 4, end)) as Ipv4;
      routes.push({ destination: makePrefix(ipFromBytes(destination), length), via });
      at = end;
    }
    return routes;
  },
  encode(routes) {
    const parts = routes.flatMap(({ destination, via }) => {
      const length = prefixLength(destination);
      return [Uint8Array.of(length), ipToBytes(prefixAddress(destination)).subarray(0, significantOctets(length)), ipToBytes(via)];
    });
    return Buffer.concat(parts);
  },
};

function significantOctets(length: number): number {
  return Math.ceil(length / 8);
}
