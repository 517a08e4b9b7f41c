import { type Ip, ipFromBytes, ipToBytes, isIpv4 } from "../../base/ip.ts";
import { type Ipv4, ipv4FromNumber, ipv4ToNumber } from "../../base/ipv4.ts";
import type { Ipv6 } from "../../base/ipv6.ts";
import { type Mac, macFromBytes, macToBytes } from "../../base/mac.ts";
import type { Reader, Writer } from "./bytes.ts";

/**
 * How one attribute's payload is written and read. `read` gets a reader that ends with the payload and consumes all of it.
 * What may be written can be wider than what is read: absent attributes may be given as undefined.
 */
export type Codec<Decoded, Encodable = Decoded> = {
  write(writer: Writer, value: Encodable): void;
  read(reader: Reader): Decoded;
  /** Bytes of a fixed-size payload. */
  readonly size?: number;
  /** The payload is attributes: NLA_F_NESTED is set. */
  readonly nested?: true;
  /** The attribute may occur several times in a row; the value is the array of them. */
  readonly repeated?: true;
  /** Newer kernels may append to the payload: bytes after what we know are passed over. */
  readonly extensible?: true;
  /** Names the part of the payload that holds byte `offset`; the reader is set as for `read`. */
  readonly locate?: (reader: Reader, offset: number) => string;
  /** The sibling attribute that says which codec the payload has. */
  readonly choice?: { by: string; among: Readonly<Record<string, AnyCodec>> };
};

/** `any` lets one constraint cover codecs of every type. */
// oxlint-disable-next-line typescript/no-explicit-any
export type AnyCodec = Codec<any, any>;
export type Scalar<T> = Codec<T> & { readonly size: number };
export type DecodedBy<C> = C extends Codec<infer D, infer _> ? D : never;
export type EncodableBy<C> = C extends Codec<infer _, infer E> ? E : never;

export const u8: Scalar<number> = { size: 1, write: (w, v) => w.u8(v), read: (r) => r.u8() };
export const u16: Scalar<number> = { size: 2, write: (w, v) => w.u16(v), read: (r) => r.u16() };
export const u32: Scalar<number> = { size: 4, write: (w, v) => w.u32(v), read: (r) => r.u32() };
export const s32: Scalar<number> = { size: 4, write: (w, v) => w.s32(v), read: (r) => r.s32() };
export const u64: Scalar<bigint> = { size: 8, write: (w, v) => w.u64(v), read: (r) => r.u64() };
export const be16: Scalar<number> = { size: 2, write: (w, v) => w.be16(v), read: (r) => r.be16() };
export const be32: Scalar<number> = { size: 4, write: (w, v) => w.be32(v), read: (r) => r.be32() };
export const be64: Scalar<bigint> = { size: 8, write: (w, v) => w.be64(v), read: (r) => r.be64() };

/** Presence is the value; leave the attribute out for "no". */
export const flag: Codec<true> = { write() {}, read: () => true };

/** The payload as it is; what is read is a copy. */
export const bytes: Codec<Uint8Array> = { write: (w, v) => w.write(v), read: (r) => r.rest().slice() };

/** Text with the terminating NUL the kernel's NLA_NUL_STRING policy wants. */
export const string: Codec<string> = {
  write(w, v) {
    w.string(v);
    w.u8(0);
  },
  read: (r) => r.string(),
};

/** Text without terminator, as iproute2 writes some attributes; the kernel takes either for NLA_STRING. */
export const bareString: Codec<string> = { write: (w, v) => w.string(v), read: (r) => r.string() };

export const ipv4: Scalar<Ipv4> = { size: 4, write: (w, v) => w.be32(ipv4ToNumber(v)), read: (r) => ipv4FromNumber(r.be32()) };

export const ipv6: Scalar<Ipv6> = { size: 16, write: (w, v) => w.write(ipToBytes(v)), read: (r) => ipFromBytes(r.view(16)) as Ipv6 };

/** Either family, told apart by length. */
export const ip: Codec<Ip> = {
  write: (w, v) => (isIpv4(v) ? w.be32(ipv4ToNumber(v)) : w.write(ipToBytes(v))),
  read(r) {
    if (r.remaining === 4) return ipv4FromNumber(r.be32());
    if (r.remaining === 16) return ipFromBytes(r.view(16));
    return r.fail(`an address has 4 or 16 bytes, not ${r.remaining}`);
  },
};

export const mac: Scalar<Mac> = { size: 6, write: (w, v) => w.write(macToBytes(v)), read: (r) => macFromBytes(r.view(6)) };

/** The address of a link of any type: a Mac where it has six bytes, else what it is (tunnels have 4 or 16, InfiniBand 20). */
export const hardwareAddress: Codec<Mac | Uint8Array> = {
  write: (w, v) => w.write(typeof v === "string" ? macToBytes(v) : v),
  read: (r) => (r.remaining === 6 ? macFromBytes(r.view(6)) : r.rest().slice()),
};
