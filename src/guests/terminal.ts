import { PassThrough } from "node:stream";
import { ReadStream } from "node:tty";
import { type Fd, resizeTerminal } from "../kernel/console-socket.ts";

/** The controlling end of a terminal as streams; the output ends when nobody has the other end open any more. */
export type Terminal = {
  stdin: NodeJS.WritableStream;
  stdout: PassThrough;
  resize(columns: number, rows: number): void;
};

/** Takes the descriptor over. */
export function terminalOf(fd: Fd): Terminal {
  const stream = new ReadStream(fd.number);
  // The stream closes the number; the Fd must not do so again.
  stream.on("close", () => fd.release());
  // What is typed before the runtime has set its side up must not be echoed by both.
  stream.setRawMode(true);
  const stdout = new PassThrough();
  stream.on("data", (bytes: Buffer) => {
    if (!stdout.write(bytes)) stream.pause();
  });
  stdout.on("drain", () => stream.resume());
  // The last close of the other end reads as EIO here: that is how a terminal says "end".
  for (const event of ["error", "end", "close"]) stream.on(event, () => stdout.end());
  return {
    stdin: stream as unknown as NodeJS.WritableStream,
    stdout,
    resize(columns, rows) {
      if (!fd.closed && !stream.destroyed) resizeTerminal(fd, { columns, rows });
    },
  };
}
