import { type FileHandle, open } from "node:fs/promises";
import { once } from "node:events";
import { PassThrough } from "node:stream";
import type { RunOutputView } from "../spec/run-view.ts";

/**
 * One output of a run: the first half of the limit in a file, the last half in a ring beside it, and what lies between counted.
 * So the disk holds no more than the limit, and memory next to nothing. A viewer gets the bytes as they come, up to the limit, and
 * holds the command back when it reads slowly.
 */
export class RunOutput implements AsyncDisposable {
  readonly #path: string;
  readonly #half: number;
  readonly #limit: number;
  readonly #files = new Map<"head" | "tail", FileHandle>();
  #bytes = 0;
  #changed = Promise.withResolvers<void>();
  #ended = false;
  /** Why the rest could not be kept, as on a full disk. */
  problem: string | undefined;
  /** For whoever watches it live; ends with the output. */
  readonly viewer: PassThrough | undefined;

  constructor(o: { path: string; limitBytes: number; live: boolean }) {
    this.#path = o.path;
    this.#half = Math.max(1, Math.ceil(o.limitBytes / 2));
    this.#limit = o.limitBytes;
    this.viewer = o.live ? new PassThrough({ highWaterMark: 256 * 1024 }) : undefined;
    this.viewer?.on("error", () => {});
  }

  get figures(): RunOutputView {
    return { bytes: this.#bytes, dropped: droppedOf(this.#bytes, this.#half) };
  }

  /** Takes all there is to read. From `over` on the viewer holds nothing back: what is left fits a pipe. */
  async take(source: NodeJS.ReadableStream, over: Promise<unknown>): Promise<void> {
    let patient = true;
    const done = over.then(() => (patient = false));
    try {
      for await (const piece of source) {
        const bytes = typeof piece === "string" ? Buffer.from(piece) : piece;
        const shown = bytes.subarray(0, Math.max(0, this.#limit - this.#bytes));
        if (shown.length > 0 && this.viewer?.destroyed === false) this.viewer.write(shown);
        await this.#keep(bytes);
        if (patient) await this.#room(done);
      }
    } catch {
      // Cut off with its sandbox: what came is kept.
    }
    this.viewer?.end();
  }

  /** What is kept, in order; with `follow` what comes as well, until the signal or the end. A slow reader misses what is dropped. */
  async *read(options: { follow: boolean; signal: AbortSignal }): AsyncGenerator<Buffer> {
    const aborted = new Promise<void>((resolve) => options.signal.addEventListener("abort", () => resolve(), { once: true }));
    for (let at = 0; !options.signal.aborted;) {
      const changed = this.#changed.promise;
      const ended = this.#ended;
      const until = this.#bytes;
      for await (const piece of piecesOf(this.#path, { from: at, to: until, half: this.#half })) yield piece;
      at = until;
      if (!options.follow || ended) return;
      if (until === this.#bytes) await Promise.race([changed, aborted]);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended = true;
    this.#tell();
    const files = [...this.#files.values()];
    this.#files.clear();
    for (const file of files) await file.close().catch(() => {});
  }

  /** Asked only after the bytes were kept: the viewer may have taken them meanwhile, and would not say so again. */
  async #room(done: Promise<unknown>): Promise<void> {
    const { viewer } = this;
    if (viewer === undefined || viewer.destroyed || !viewer.writableNeedDrain) return;
    const waiting = new AbortController();
    const { signal } = waiting;
    await Promise.race([once(viewer, "drain", { signal }), once(viewer, "close", { signal }), done]).catch(() => {});
    waiting.abort();
  }

  async #keep(bytes: Buffer): Promise<void> {
    const from = this.#bytes;
    this.#bytes += bytes.length;
    if (this.problem === undefined) {
      try {
        if (from < this.#half) await this.#write("head", bytes.subarray(0, this.#half - from), from);
        const rest = from < this.#half ? bytes.subarray(this.#half - from) : bytes;
        if (rest.length > 0) await this.#writeRing(rest, Math.max(from, this.#half) - this.#half);
      } catch (error) {
        this.problem = error instanceof Error ? error.message : String(error);
      }
    }
    this.#tell();
  }

  /** Only the newest of what would overwrite itself is written. */
  async #writeRing(bytes: Buffer, from: number): Promise<void> {
    const passed = Math.max(0, bytes.length - this.#half);
    for (let at = passed; at < bytes.length;) {
      const place = (from + at) % this.#half;
      const length = Math.min(bytes.length - at, this.#half - place);
      await this.#write("tail", bytes.subarray(at, at + length), place);
      at += length;
    }
  }

  async #write(which: "head" | "tail", bytes: Buffer, place: number): Promise<void> {
    let file = this.#files.get(which);
    if (file === undefined) this.#files.set(which, (file = await open(fileOf(this.#path, which), "wx", 0o600)));
    for (let done = 0; done < bytes.length;) done += (await file.write(bytes, done, bytes.length - done, place + done)).bytesWritten;
  }

  #tell(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }
}

/** What is kept of an output that has ended. */
export function readEnded(path: string, o: { bytes: number; limitBytes: number }): AsyncGenerator<Buffer> {
  return piecesOf(path, { from: 0, to: o.bytes, half: Math.max(1, Math.ceil(o.limitBytes / 2)) });
}

/** The bytes of an output whose daemon died before it could write the number down: those of the files, when they were not full. */
export async function bytesFound(path: string, limitBytes: number): Promise<number> {
  const half = Math.max(1, Math.ceil(limitBytes / 2));
  const head = await sizeOf(fileOf(path, "head"));
  return head < half ? head : half + (await sizeOf(fileOf(path, "tail")));
}

function fileOf(path: string, which: "head" | "tail"): string {
  return which === "head" ? path : `${path}.tail`;
}

function droppedOf(bytes: number, half: number): number {
  return Math.max(0, bytes - 2 * half);
}

const pieceBytes = 256 * 1024;

async function* piecesOf(path: string, o: { from: number; to: number; half: number }): AsyncGenerator<Buffer> {
  const { half } = o;
  if (o.from < half) yield* range(fileOf(path, "head"), o.from, Math.min(o.to, half));
  for (let at = Math.max(o.from, half, o.to - half); at < o.to;) {
    const place = (at - half) % half;
    const length = Math.min(o.to - at, half - place);
    yield* range(fileOf(path, "tail"), place, place + length);
    at += length;
  }
}

async function* range(file: string, from: number, to: number): AsyncGenerator<Buffer> {
  if (from >= to) return;
  const handle = await openIfThere(file);
  if (handle === undefined) return;
  try {
    for (let at = from; at < to;) {
      const { bytesRead, buffer } = await handle.read(Buffer.allocUnsafe(Math.min(pieceBytes, to - at)), 0, undefined, at);
      if (bytesRead === 0) return;
      at += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
  } finally {
    await handle.close();
  }
}

async function sizeOf(file: string): Promise<number> {
  const handle = await openIfThere(file);
  if (handle === undefined) return 0;
  try {
    return (await handle.stat()).size;
  } finally {
    await handle.close();
  }
}

async function openIfThere(file: string): Promise<FileHandle | undefined> {
  try {
    return await open(file, "r");
  } catch {
    return undefined;
  }
}
