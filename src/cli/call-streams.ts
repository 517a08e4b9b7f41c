import { once } from "node:events";
import type { Io } from "./context.ts";
import { useRawTerminal } from "./raw-terminal.ts";
import type { ExecCall } from "../api/exec-client.ts";

/** This terminal, or these pipes, as the streams of a command elsewhere. */

/** Writes what comes, no faster than it is taken. */
export async function writeOut(io: Io, stream: "stdout" | "stderr", bytes: Uint8Array): Promise<void> {
  const to = stream === "stdout" ? io.stdout : io.stderr;
  if (!to.write(bytes)) await once(to, "drain");
}

/** The size follows the window. */
export function useTerminal(io: Io, call: ExecCall, cleanups: DisposableStack): void {
  useRawTerminal(io, cleanups);
  const resize = () => void call.send({ kind: "resize", ...sizeOf(io) });
  io.stdout.on("resize", resize);
  cleanups.defer(() => io.stdout.off("resize", resize));
}

/** What would end this process goes to the command instead. */
export function passSignals(call: ExecCall, cleanups: DisposableStack): void {
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"] as const) {
    const pass = () => void call.send({ kind: "signal", signal });
    process.on(signal, pass);
    cleanups.defer(() => process.off(signal, pass));
  }
}

/** Gives a function that lets go of the input, so that the process can end while it is still open. */
export function passInput(io: Io, call: ExecCall): () => void {
  let released = false;
  const take = (chunk: Buffer) => {
    io.stdin.pause();
    void call.send({ kind: "stdin", bytes: chunk }).then(() => released || io.stdin.resume());
  };
  const end = () => void call.send({ kind: "stdin-end" });
  io.stdin.on("data", take);
  io.stdin.on("end", end);
  return () => {
    released = true;
    io.stdin.off("data", take);
    io.stdin.off("end", end);
    io.stdin.pause();
    if ("unref" in io.stdin && typeof io.stdin.unref === "function") io.stdin.unref();
  };
}

/** A terminal that does not know its size says 0. */
export function sizeOf(io: Io): { columns: number; rows: number } {
  return { columns: io.stdout.columns || 80, rows: io.stdout.rows || 24 };
}
