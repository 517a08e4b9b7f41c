/** Whether bytes are text a person could read: valid UTF-8 without NUL. */
export function isText(bytes: Uint8Array): boolean {
  if (bytes.includes(0)) return false;
  try {
    new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    return true;
  } catch {
    return false;
  }
}

/** Without the first bytes of a character whose others were cut off; bytes that end otherwise, or are no text, are left as they are. */
export function wholeCharacters(bytes: Buffer): Buffer {
  for (let back = 1; back <= Math.min(3, bytes.length); back++) {
    const byte = bytes[bytes.length - back] ?? 0;
    if ((byte & 0xc0) === 0x80) continue;
    const length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1;
    return length > back ? bytes.subarray(0, bytes.length - back) : bytes;
  }
  return bytes;
}

/** Keeps the beginning and the end of what is written to it, each up to half of `limit` bytes, and counts the rest. */
export class HeadAndTail {
  readonly #half: number;
  #head = Buffer.alloc(0);
  #tail: Buffer[] = [];
  #tailBytes = 0;
  total = 0;

  constructor(limit: number) {
    this.#half = Math.floor(limit / 2);
  }

  push(bytes: Uint8Array): void {
    this.total += bytes.length;
    const room = this.#half - this.#head.length;
    if (room > 0) this.#head = Buffer.concat([this.#head, bytes.subarray(0, room)]);
    if (bytes.length <= room) return;
    this.#tail.push(Buffer.from(bytes.subarray(Math.max(0, room))));
    this.#tailBytes += bytes.length - Math.max(0, room);
    // Joined only now and then, so that many small writes stay cheap.
    if (this.#tailBytes > 4 * this.#half + 65_536) this.#shorten();
  }

  /** What was kept, and how many bytes between the two parts were not. */
  end(): { head: Buffer; tail: Buffer; omitted: number } {
    this.#shorten();
    const tail = this.#tail[0] ?? Buffer.alloc(0);
    return { head: this.#head, tail, omitted: this.total - this.#head.length - tail.length };
  }

  #shorten(): void {
    const all = Buffer.concat(this.#tail);
    const kept = all.subarray(Math.max(0, all.length - this.#half));
    this.#tail = [Buffer.from(kept)];
    this.#tailBytes = kept.length;
  }
}
