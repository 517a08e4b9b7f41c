import { once } from "node:events";
import type { VerbContext } from "../context.ts";
import { useRawTerminal } from "../raw-terminal.ts";

/** This terminal as the guest's serial terminal. With pipes instead of a terminal it ends when the input does. */
export async function join(c: VerbContext): Promise<number> {
  const { io } = c;
  const client = await c.client();
  const word = c.arg("NAME");
  const name = c.command.path === "console" ? (await (await import("../compose/targets.ts")).guestNamed(c, client, word)).name : word;
  const call = await client.exec("vm.console", name, {});
  using cleanups = new DisposableStack();
  const isTerminal = io.stdin.isTTY === true;
  if (isTerminal) {
    useRawTerminal(io, cleanups);
    c.out.note("joined; ~. on a line of its own leaves");
  }
  const escape = new Escape();
  let left = false;
  const leave = () => {
    left = true;
    call.close();
  };
  const take = (chunk: Buffer) => {
    const { bytes, leaves } = isTerminal ? escape.take(chunk) : { bytes: chunk, leaves: false };
    if (bytes.length > 0) void call.send({ kind: "stdin", bytes });
    if (leaves) leave();
  };
  io.stdin.on("data", take);
  if (!isTerminal) io.stdin.on("end", leave);
  cleanups.defer(() => {
    io.stdin.off("data", take).off("end", leave);
    io.stdin.pause();
    if ("unref" in io.stdin && typeof io.stdin.unref === "function") io.stdin.unref();
  });
  try {
    return await call.finish(async (_stream, bytes) => {
      if (!io.stdout.write(bytes)) await once(io.stdout, "drain");
    });
  } catch (error) {
    if (left) return 0;
    throw error;
  }
}

/** Finds `~.` at the beginning of a line, as ssh(1) does; `~~` there is one `~`. */
export class Escape {
  #state: "line-start" | "tilde" | "within" = "line-start";

  take(chunk: Uint8Array): { bytes: Buffer; leaves: boolean } {
    const out: number[] = [];
    for (const byte of chunk) {
      if (this.#state === "tilde") {
        if (byte === dot) return { bytes: Buffer.from(out), leaves: true };
        out.push(...(byte === tilde ? [tilde] : [tilde, byte]));
        this.#state = byte === lineFeed || byte === carriageReturn ? "line-start" : "within";
      } else if (this.#state === "line-start" && byte === tilde) this.#state = "tilde";
      else {
        out.push(byte);
        this.#state = byte === lineFeed || byte === carriageReturn ? "line-start" : "within";
      }
    }
    return { bytes: Buffer.from(out), leaves: false };
  }
}

const [tilde, dot, lineFeed, carriageReturn] = [0x7e, 0x2e, 0x0a, 0x0d];
