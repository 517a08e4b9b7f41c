import { closeSync, constants, openSync } from "node:fs";
import { PassThrough } from "node:stream";
import { ReadStream } from "node:tty";
import { ConsoleSocket, type Fd, resizeTerminal } from "../kernel/console-socket.ts";

/** The controlling end of a terminal as streams; the output ends when nobody has the other end open any more. */
export type Terminal = {
  stdin: NodeJS.WritableStream;
  stdout: PassThrough;
  resize(columns: number, rows: number): void;
  /** No echo, no line editing. */
  setRaw(): void;
};

/** A console socket in a directory; its path, going through /proc, fits a socket address however long the directory's is. */
export function consoleSocketIn(directory: string, name: string): ConsoleSocket & Disposable {
  const fd = openSync(directory, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    const socket = new ConsoleSocket(`/proc/${process.pid}/fd/${fd}/${name}`);
    const close = socket[Symbol.dispose].bind(socket);
    return Object.assign(socket, {
      [Symbol.dispose]() {
        close();
        closeSync(fd);
      },
    });
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/** Takes the descriptor over. */
export function terminalOf(fd: Fd): Terminal {
  const stream = new ReadStream(fd.number);
  // The stream closes the number; the Fd must not do so again.
  stream.on("close", () => fd.release());
  const stdout = new PassThrough();
  stream.on("data", (bytes: Buffer) => {
    if (!stdout.write(bytes)) stream.pause();
  });
  stdout.on("drain", () => stream.resume());
  // The last close of the other end reads as EIO here: that is how a terminal says "end".
  for (const event of ["error", "end", "close"]) stream.on(event, () => stdout.end());
  return {
    stdin: stream,
    stdout,
    setRaw: () => void stream.setRawMode(true),
    resize(columns, rows) {
      if (!fd.closed && !stream.destroyed) resizeTerminal(fd, { columns, rows });
    },
  };
}
