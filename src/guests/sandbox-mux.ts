import { Duplex } from "node:stream";
import { WireError } from "../base/errors.ts";
import { encodeFrame, type Frame, FrameReader, muxWindow } from "../wire/mux/frames.ts";

/** What a guest may have open at once; more are refused at once. */
const mostConnections = 1024;
const firstConnection = 16;
const mostPiece = 65_536;
/** Waiting for a guest that does not read: far more than the answers to one that does. */
const mostUnread = 1024 * 1024;

export type MuxOptions = {
  /** Towards the guest. */
  port: Duplex;
  /** A connection the guest opens; without it every one is refused. */
  serve: ((connection: Duplex) => void) | undefined;
  exited: (exit: { code: number; outOfMemory: boolean }) => void;
  /** The guest broke the protocol: nothing it says can be used any more. */
  broken: (error: WireError) => void;
};

/** The daemon's end of the streams of a command in a virtual machine. */
export class SandboxMux {
  readonly #o: MuxOptions;
  readonly #reader = new FrameReader();
  readonly #streams = new Map<number, MuxStream>();

  constructor(options: MuxOptions) {
    this.#o = options;
    const { port } = options;
    port.on("data", (bytes: Buffer) => {
      try {
        for (const frame of this.#reader.take(bytes)) this.#receive(frame);
        if (port.writableLength > mostUnread) throw new WireError("mux", "a guest asks, and does not read the answers");
      } catch (error) {
        port.destroy();
        options.broken(error instanceof WireError ? error : new WireError("mux", String(error)));
      }
    });
    port.on("drain", () => {
      for (const stream of this.#streams.values()) stream.flush();
    });
    port.on("error", () => undefined);
    port.on("close", () => this.end());
  }

  /** One of the command's own streams: 1, 2 or 3. */
  stream(number: 1 | 2 | 3): Duplex {
    return this.#open(number);
  }

  signal(number: number): void {
    this.#send({ kind: "signal", number });
  }

  resize(columns: number, rows: number): void {
    this.#send({ kind: "resize", columns, rows });
  }

  /** Nothing comes any more: what was received is still read, then all streams end. */
  end(): void {
    for (const [number, stream] of this.#streams) {
      stream.ended();
      if (number >= firstConnection) stream.destroy();
    }
    this.#streams.clear();
  }

  #receive(frame: Frame): void {
    switch (frame.kind) {
      case "open":
        return this.#connect(frame.stream);
      case "data":
        return this.#streams.get(frame.stream)?.received(frame.bytes);
      case "end":
        return this.#streams.get(frame.stream)?.ended();
      case "credit":
        return this.#streams.get(frame.stream)?.mayContinue(frame.count);
      case "reset":
        this.#streams.get(frame.stream)?.destroy();
        return void this.#streams.delete(frame.stream);
      case "exit":
        return this.#o.exited(frame);
      default:
        throw new WireError("mux", `a guest does not send ${frame.kind}`);
    }
  }

  #connect(stream: number): void {
    if (stream < firstConnection || this.#streams.has(stream)) throw new WireError("mux", `stream ${stream} cannot be opened`);
    if (this.#o.serve === undefined || this.#streams.size > mostConnections) return this.#send({ kind: "reset", stream });
    this.#o.serve(this.#open(stream));
  }

  #open(number: number): MuxStream {
    const stream = new MuxStream({
      hasRoom: () => !this.#o.port.writableNeedDrain,
      send: (bytes) => this.#send({ kind: "data", stream: number, bytes }),
      sendEnd: () => this.#send({ kind: "end", stream: number }),
      taken: (count) => this.#send({ kind: "credit", stream: number, count }),
      closed: (whole) => {
        if (this.#streams.delete(number) && !whole) this.#send({ kind: "reset", stream: number });
      },
    });
    this.#streams.set(number, stream);
    return stream;
  }

  #send(frame: Frame): void {
    if (!this.#o.port.destroyed && this.#o.port.writable) this.#o.port.write(encodeFrame(frame));
  }
}

type Ends = {
  /** Whether the guest reads what was sent before; when it does again, the stream is flushed. */
  hasRoom: () => boolean;
  send: (bytes: Uint8Array) => void;
  sendEnd: () => void;
  taken: (count: number) => void;
  closed: (whole: boolean) => void;
};

class MuxStream extends Duplex {
  readonly #ends: Ends;
  #credit = muxWindow;
  /** Received, and the guest was not told yet that it was taken. */
  #buffered = 0;
  #waiting: { bytes: Buffer; done: (error?: Error | null) => void } | undefined;

  constructor(ends: Ends) {
    super({ allowHalfOpen: true, autoDestroy: true });
    this.#ends = ends;
    this.on("error", () => undefined);
  }

  /** @throws WireError when the guest sends more than it may */
  received(bytes: Uint8Array): void {
    this.#buffered += bytes.length;
    if (this.#buffered > muxWindow) throw new WireError("mux", "a guest sends more than it may");
    // The reader's buffer is used again.
    if (this.push(Buffer.from(bytes))) this.#take();
  }

  ended(): void {
    if (!this.readableEnded) this.push(null);
  }

  /** @throws WireError when the guest says to have taken more than it was sent */
  mayContinue(count: number): void {
    this.#credit += count;
    if (this.#credit > muxWindow) throw new WireError("mux", "a guest has taken more than it was sent");
    this.flush();
  }

  override _read(): void {
    this.#take();
  }

  override _write(bytes: Buffer, _: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#waiting = { bytes, done };
    this.flush();
  }

  override _final(done: () => void): void {
    this.#ends.sendEnd();
    done();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#ends.closed(this.readableEnded && this.writableFinished);
    this.#waiting?.done(error);
    done(error);
  }

  /** What the reader took is told to the guest, which may then send as much again. */
  #take(): void {
    if (this.#buffered === 0) return;
    this.#ends.taken(this.#buffered);
    this.#buffered = 0;
  }

  flush(): void {
    while (this.#waiting !== undefined && this.#credit > 0 && this.#ends.hasRoom()) {
      const { bytes, done } = this.#waiting;
      const piece = bytes.subarray(0, Math.min(this.#credit, mostPiece));
      this.#credit -= piece.length;
      this.#ends.send(piece);
      if (piece.length < bytes.length) {
        this.#waiting = { bytes: bytes.subarray(piece.length), done };
        continue;
      }
      this.#waiting = undefined;
      done();
    }
  }
}
