import { spawn } from "node:child_process";
import { NexusError } from "../base/errors.ts";

export type ToolOptions = {
  /** What is being done, as in "make a file system in /x". */
  what: string;
  deadlineMs: number;
  signal?: AbortSignal;
  cwd?: string;
  /** All of its environment. */
  env?: Record<string, string>;
  /** Kept of its output at most; it is ended when it writes more. */
  outputBytes?: number;
  /** Its failure is the caller's to judge. */
  failures?: "answer";
  /** Written to it as it takes it. */
  input?: AsyncIterable<Uint8Array>;
  /** One text on a descriptor of its own, number 3. */
  secret?: string;
  onLine?: (line: string) => void;
};

export type ToolResult = { code: number; output: Buffer; said: string; /** Ended because it wrote more than was wanted. */ cut: boolean };

/**
 * Runs a program to its end, with nothing of ours but what is given: no environment, no open files. It is ended with all of its process
 * group by the deadline, the signal, or too much output.
 * @throws NexusError `runtime-failed` with its last words, `timeout`; the signal's reason
 */
export async function runTool(file: string, args: readonly string[], o: ToolOptions): Promise<ToolResult> {
  o.signal?.throwIfAborted();
  const child = spawn(file, args, {
    cwd: o.cwd ?? "/",
    env: o.env ?? { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", LC_ALL: "C.UTF-8" },
    stdio: [o.input === undefined ? "ignore" : "pipe", "pipe", "pipe", o.secret === undefined ? "ignore" : "pipe"],
    detached: true,
  });
  const { promise: ended, resolve, reject } = Promise.withResolvers<number>();
  child.once("error", (error) => reject(new NexusError("runtime-missing", `cannot ${o.what}: ${error.message}`, { cause: error })));
  child.once("close", (code) => resolve(code ?? 128));
  const end = () => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
    } catch {
      // It has ended by itself.
    }
  };
  let late = false;
  const timer = setTimeout(() => ((late = true), end()), o.deadlineMs);
  o.signal?.addEventListener("abort", end, { once: true });
  const kept = new Kept(o.outputBytes ?? 1024 * 1024, end);
  child.stdout?.on("data", (bytes: Buffer) => kept.push(bytes));
  const words = new LastWords(o.onLine);
  child.stderr?.on("data", (bytes: Buffer) => words.push(bytes));
  try {
    const secret = child.stdio[3];
    if (o.secret !== undefined && secret !== null && secret !== undefined && "end" in secret)
      secret.on("error", () => undefined).end(o.secret);
    const fed = o.input === undefined || child.stdin === null ? Promise.resolve() : feed(child.stdin, o.input, end);
    const [code] = await Promise.all([ended, fed]);
    o.signal?.throwIfAborted();
    if (late) throw new NexusError("timeout", `could not ${o.what} within ${o.deadlineMs / 1000} s`);
    if (code !== 0 && o.failures === undefined && !kept.cut)
      throw new NexusError("runtime-failed", `cannot ${o.what}: ${words.text === "" ? `exit code ${code}` : words.text}`);
    return { code, output: kept.bytes(), said: words.text, cut: kept.cut };
  } finally {
    clearTimeout(timer);
    o.signal?.removeEventListener("abort", end);
  }
}

async function feed(stdin: NodeJS.WritableStream, input: AsyncIterable<Uint8Array>, end: () => void): Promise<void> {
  // That it reads no further shows in its exit code.
  let gone = false;
  const left = new Promise<void>((resolve) => stdin.once("error", () => resolve()).once("close", () => resolve())).then(
    () => (gone = true),
  );
  try {
    for await (const chunk of input) {
      if (gone) return;
      if (!stdin.write(chunk)) await Promise.race([new Promise<void>((resolve) => stdin.once("drain", resolve)), left]);
    }
    stdin.end();
  } catch (error) {
    end();
    throw error;
  }
}

class Kept {
  readonly #limit: number;
  readonly #onCut: () => void;
  readonly #parts: Buffer[] = [];
  #size = 0;
  cut = false;

  constructor(limit: number, onCut: () => void) {
    this.#limit = limit;
    this.#onCut = onCut;
  }

  push(bytes: Buffer): void {
    const room = this.#limit - this.#size;
    if (room > 0) this.#parts.push(bytes.subarray(0, room));
    this.#size += bytes.length;
    if (bytes.length <= room || this.cut) return;
    this.cut = true;
    this.#onCut();
  }

  bytes(): Buffer {
    return Buffer.concat(this.#parts);
  }
}

/** The end of what a program complained of, fit for a message. */
class LastWords {
  readonly #onLine: ((line: string) => void) | undefined;
  #tail = "";
  #pending = "";

  constructor(onLine: ((line: string) => void) | undefined) {
    this.#onLine = onLine;
  }

  push(bytes: Buffer): void {
    const text = plain(bytes.toString());
    this.#tail = (this.#tail + text).slice(-4000);
    const lines = (this.#pending + text).slice(-4000).split("\n");
    this.#pending = lines.pop() ?? "";
    for (const line of lines) if (line.trim() !== "") this.#onLine?.(line.trim());
  }

  /** At most eight lines, without those of progress. */
  get text(): string {
    return this.#tail
      .split("\n")
      .map((line) => line.trim())
      .filter((line) => line !== "" && !/\d%/.test(line))
      .slice(-8)
      .join("\n");
  }
}

/** A carriage return shows progress; other control characters have no business in a message. */
function plain(text: string): string {
  return text.replaceAll("\r", "\n").replaceAll(/[^\P{Cc}\n]/gu, "\u{fffd}");
}
