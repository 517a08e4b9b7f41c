import type { Duplex } from "node:stream";
import { encodeFrame, type Frame, FrameDecoder, framePayloadLimit } from "./exec-stream.ts";
import { roomIn } from "./room.ts";

/** Frames over a connection, no faster than the other end reads. */
export type FrameSocket = {
  /** Resolves when there is room for more, or the connection is gone. */
  send(frame: Frame): Promise<void>;
  /** Every frame until the other end closes; reads on only when the last frame was dealt with. @throws WireError */
  frames(): AsyncIterable<Frame>;
  end(): void;
};

/** `head` is what the HTTP parser had read past the upgrade. */
export function frameSocket(socket: Duplex, head: Uint8Array): FrameSocket {
  return {
    async send(frame) {
      if (socket.destroyed || socket.writableEnded) return;
      for (const piece of split(frame)) {
        if (socket.write(encodeFrame(piece)) || socket.destroyed) continue;
        await roomIn(socket);
      }
    },
    async *frames() {
      const decoder = new FrameDecoder();
      if (head.length > 0) yield* decoder.push(head);
      // A bad frame ends the reading, not the connection: the other end is still to be told why.
      const chunks: AsyncIterable<Buffer> = socket.iterator({ destroyOnReturn: false });
      for await (const chunk of chunks) yield* decoder.push(chunk);
    },
    end() {
      socket.end();
    },
  };
}

function* split(frame: Frame): Iterable<Frame> {
  if (!("bytes" in frame) || frame.bytes.length <= framePayloadLimit) return yield frame;
  for (let at = 0; at < frame.bytes.length; at += framePayloadLimit) {
    yield { kind: frame.kind, bytes: frame.bytes.subarray(at, at + framePayloadLimit) };
  }
}
