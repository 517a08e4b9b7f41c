import { WireError } from "../../base/errors.ts";

/** The few facts of a link message that tell whether it matters to somebody: a twentieth of the price of reading it whole. */
export type LinkGlance = { index: number; name: string; up: boolean; group: number; mtuBytes: number };

/** struct ifinfomsg is 16 bytes: family, pad, type, index, flags, change (linux/rtnetlink.h). @throws WireError */
export function glanceAtLink(body: Uint8Array): LinkGlance {
  if (body.length < headerBytes) throw new WireError("link", `has ${body.length} bytes, its header ${headerBytes}`);
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  const glance: LinkGlance = { index: view.getInt32(4, true), name: "", up: (view.getUint32(8, true) & 1) !== 0, group: 0, mtuBytes: 0 };
  for (let at = headerBytes; at + 4 <= body.length;) {
    const length = view.getUint16(at, true);
    if (length < 4 || at + length > body.length) throw new WireError("link", `attribute of ${length} bytes`, at);
    switch (view.getUint16(at + 2, true)) {
      case attribute.name:
        glance.name = text(body.subarray(at + 4, at + length));
        break;
      case attribute.mtu:
        if (length === 8) glance.mtuBytes = view.getUint32(at + 4, true);
        break;
      case attribute.group:
        if (length === 8) glance.group = view.getUint32(at + 4, true);
        break;
    }
    at += (length + 3) & ~3;
  }
  return glance;
}

/** The link index in a struct ifaddrmsg (linux/if_addr.h). @throws WireError */
export function glanceAtAddress(body: Uint8Array): { link: number } {
  if (body.length < 8) throw new WireError("address", `has ${body.length} bytes, its header 8`);
  return { link: new DataView(body.buffer, body.byteOffset, body.byteLength).getUint32(4, true) };
}

/** Whether a struct rtmsg (linux/rtnetlink.h) speaks of a default route of unicast type. @throws WireError */
export function isDefaultRoute(body: Uint8Array): boolean {
  if (body.length < 12) throw new WireError("route", `has ${body.length} bytes, its header 12`);
  return body[1] === 0 && body[7] === unicast;
}

/** The link that a unicast route leads by without a gateway, in the main table; undefined for any other. @throws WireError */
export function directRouteLink(body: Uint8Array): number | undefined {
  if (body.length < 12) throw new WireError("route", `has ${body.length} bytes, its header 12`);
  if (body[4] !== mainTable || body[7] !== unicast) return undefined;
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  let link: number | undefined;
  for (let at = 12; at + 4 <= body.length;) {
    const length = view.getUint16(at, true);
    if (length < 4 || at + length > body.length) throw new WireError("route", `attribute of ${length} bytes`, at);
    const number = view.getUint16(at + 2, true);
    if (number === routeAttribute.gateway) return undefined;
    if (number === routeAttribute.outputLink && length === 8) link = view.getUint32(at + 4, true);
    at += (length + 3) & ~3;
  }
  return link;
}

const headerBytes = 16;
/** IFLA_* of linux/if_link.h. */
const attribute = { name: 3, mtu: 4, group: 27 } as const;
/** RTA_* of linux/rtnetlink.h. */
const routeAttribute = { outputLink: 4, gateway: 5 } as const;
/** RT_TABLE_MAIN. */
const mainTable = 254;
/** RTN_UNICAST. */
const unicast = 1;

function text(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return Buffer.from(end === -1 ? bytes : bytes.subarray(0, end)).toString("latin1");
}
