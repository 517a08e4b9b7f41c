import type { Clock } from "../../base/clock.ts";
import type { KeptReply } from "../../wire/dns/response.ts";

export type CacheLimits = { entries: number; bytes: number };

type Entry = { reply: KeptReply; storedAt: number; expiresAt: number; size: number };

/** What a Map entry, its key and the offsets cost beside the bytes of the message. */
const overheadBytes = 256;

/** Replies until their time to live ends, bounded in number and bytes; the least recently used goes first. */
export class ReplyCache {
  readonly #clock: Clock;
  readonly #limits: CacheLimits;
  readonly #entries = new Map<string, Entry>();
  #bytes = 0;

  constructor(clock: Clock, limits: CacheLimits) {
    this.#clock = clock;
    this.#limits = limits;
  }

  get size(): number {
    return this.#entries.size;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** The reply with its age in whole seconds, or undefined. */
  get(key: string): { reply: KeptReply; ageSeconds: number } | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    const now = this.#clock.monotonic();
    this.#entries.delete(key);
    if (now >= entry.expiresAt) {
      this.#bytes -= entry.size;
      return undefined;
    }
    this.#entries.set(key, entry);
    return { reply: entry.reply, ageSeconds: Math.floor((now - entry.storedAt) / 1000) };
  }

  set(key: string, reply: KeptReply, ttlSeconds: number): void {
    this.#delete(key);
    if (ttlSeconds <= 0) return;
    const now = this.#clock.monotonic();
    const size = reply.bytes.length + key.length + reply.ttlOffsets.length * 8 + overheadBytes;
    if (size > this.#limits.bytes) return;
    this.#entries.set(key, { reply, storedAt: now, expiresAt: now + ttlSeconds * 1000, size });
    this.#bytes += size;
    while (this.#entries.size > this.#limits.entries || this.#bytes > this.#limits.bytes) {
      const oldest = this.#entries.keys().next();
      if (oldest.done === true) return;
      this.#delete(oldest.value);
    }
  }

  clear(): void {
    this.#entries.clear();
    this.#bytes = 0;
  }

  #delete(key: string): void {
    const entry = this.#entries.get(key);
    if (entry === undefined) return;
    this.#bytes -= entry.size;
    this.#entries.delete(key);
  }
}
