/** Lets bytes through up to a mark in them, which may come in two pieces; what follows it is not asked for. */
export class UntilMark {
  readonly #mark: Buffer;
  /** The end of what came, where that may be the mark's beginning. */
  #held: Buffer = Buffer.alloc(0);
  #seen = false;

  constructor(mark: Buffer) {
    this.#mark = mark;
  }

  get seen(): boolean {
    return this.#seen;
  }

  /** What of it can be passed on now. */
  take(piece: Buffer): Buffer {
    if (this.#seen) return Buffer.alloc(0);
    const bytes = Buffer.concat([this.#held, piece]);
    const at = bytes.indexOf(this.#mark);
    this.#seen = at !== -1;
    const end = this.#seen ? at : bytes.length - this.#begunAt(bytes);
    this.#held = this.#seen ? Buffer.alloc(0) : bytes.subarray(end);
    return bytes.subarray(0, end);
  }

  /** No mark comes any more: the rest. */
  rest(): Buffer {
    return this.#held;
  }

  /** How many bytes at the end are the mark's first. */
  #begunAt(bytes: Buffer): number {
    for (let length = Math.min(this.#mark.length - 1, bytes.length); length > 0; length--)
      if (bytes.subarray(bytes.length - length).equals(this.#mark.subarray(0, length))) return length;
    return 0;
  }
}
