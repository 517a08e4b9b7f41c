import { fchownSync } from "node:fs";
import { Socket } from "node:net";
import type { Readable, Writable } from "node:stream";
import { type Fd, openPty } from "../kernel/console-socket.ts";
import { openStdio } from "../kernel/stdio.ts";
import type { SandboxPlan } from "./sandbox.ts";
import { terminalOf } from "./terminal.ts";

/** What a command reads and writes: the descriptors it is given, and our ends of them. */
export type Streams = {
  theirs: Disposable & { stdin: Fd; stdout: Fd; stderr: Fd };
  /** Opens our ends; once. */
  ours(): { stdin: Writable; stdout: Readable; stderr: Readable | undefined; resize(columns: number, rows: number): void };
  close(): void;
};

/** `multiplexer`: of the terminals the command sees, so that its own has a name there. @throws KernelError */
export function openStreams(owner: { uid: number; gid: number }, terminal: SandboxPlan["terminal"], multiplexer: string): Streams {
  return terminal === undefined ? pipes(owner) : terminalStreams(owner, terminal, multiplexer);
}

function pipes(owner: { uid: number; gid: number }): Streams {
  const { theirs, ours } = openStdio(owner);
  return {
    theirs,
    ours: () => ({
      stdin: quiet(new Socket({ fd: ours.stdin.release(), readable: false, writable: true })),
      stdout: quiet(new Socket({ fd: ours.stdout.release(), readable: true, writable: false })),
      stderr: quiet(new Socket({ fd: ours.stderr.release(), readable: true, writable: false })),
      resize() {},
    }),
    close: () => ours[Symbol.dispose](),
  };
}

function terminalStreams(owner: { uid: number; gid: number }, size: { columns: number; rows: number }, multiplexer: string): Streams {
  const { controller, peer } = openPty(multiplexer);
  fchownSync(peer.number, owner.uid, owner.gid);
  return {
    theirs: { stdin: peer, stdout: peer, stderr: peer, [Symbol.dispose]: () => peer[Symbol.dispose]() },
    ours() {
      const { stdin, stdout, resize } = terminalOf(controller);
      resize(size.columns, size.rows);
      return { stdin: stdin as Writable, stdout, stderr: undefined, resize };
    },
    close: () => controller[Symbol.dispose](),
  };
}

/** A command that does not read its input, or ends with output unread, must not break us. */
function quiet(socket: Socket): Socket {
  socket.on("error", () => undefined);
  return socket;
}
