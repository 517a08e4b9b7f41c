import { WireError } from "../../base/errors.ts";
import { type DnsName, labelStarts } from "./name.ts";

const maxMessageBytes = 65535;
const maxPointer = 0x3fff;

/** Fields of a message one after the other, names compressed (RFC 1035 §4.1.4) against those written before. */
export class MessageWriter {
  #bytes = Buffer.allocUnsafe(1024);
  #length = 0;
  readonly #seen = new Map<DnsName, number>();

  get length(): number {
    return this.#length;
  }

  u8(value: number): void {
    this.#need(1);
    this.#length = this.#bytes.writeUInt8(value, this.#length);
  }

  u16(value: number): void {
    this.#need(2);
    this.#length = this.#bytes.writeUInt16BE(value, this.#length);
  }

  u32(value: number): void {
    this.#need(4);
    this.#length = this.#bytes.writeUInt32BE(value, this.#length);
  }

  bytes(value: Uint8Array): void {
    this.#need(value.length);
    this.#bytes.set(value, this.#length);
    this.#length += value.length;
  }

  /** Compares case too, so that what is read back is what was written. */
  name(name: DnsName): void {
    for (const start of labelStarts(name)) {
      const suffix = name.slice(start);
      const at = this.#seen.get(suffix);
      if (at !== undefined) return this.u16(0xc000 | at);
      if (this.#length <= maxPointer) this.#seen.set(suffix, this.#length);
      this.#latin1(name.slice(start, start + 1 + name.charCodeAt(start)));
    }
    this.u8(0);
  }

  /** For names where no compression is allowed (RFC 3597 §4: every type newer than RFC 1035). */
  plainName(name: DnsName): void {
    this.#latin1(name);
    this.u8(0);
  }

  /** Writes a 16-bit length, then what `body` writes, whose length it is. */
  sized(body: () => void): void {
    const at = this.#length;
    this.u16(0);
    body();
    const size = this.#length - at - 2;
    if (size > 0xffff) throw new WireError("message", "a field has more than 65535 bytes");
    this.#bytes.writeUInt16BE(size, at);
  }

  /** A copy that the caller owns. */
  finish(): Buffer {
    return Buffer.from(this.#bytes.subarray(0, this.#length));
  }

  #latin1(text: string): void {
    this.#need(text.length);
    this.#length += this.#bytes.write(text, this.#length, "latin1");
  }

  #need(count: number): void {
    const wanted = this.#length + count;
    if (wanted > maxMessageBytes) throw new WireError("message", `does not fit ${maxMessageBytes} bytes`);
    if (wanted <= this.#bytes.length) return;
    const larger = Buffer.allocUnsafe(Math.min(maxMessageBytes, Math.max(wanted, this.#bytes.length * 2)));
    this.#bytes.copy(larger, 0, 0, this.#length);
    this.#bytes = larger;
  }
}
