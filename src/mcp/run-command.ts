import { z } from "zod";
import { HeadAndTail, isText, wholeCharacters } from "./bytes.ts";
import { guestArgument, tool } from "./tool.ts";
import type { ExecCall } from "../api/exec-client.ts";
import { NexusError } from "../base/errors.ts";

/** After the time is up, until the connection is cut. */
const killGraceMs = 5000;

export const runCommand = tool({
  name: "run_command",
  title: "Run a command in a guest",
  description:
    "Runs a command inside a guest and gives its exit code and output. A text is run by the guest's own /bin/sh -c; a list of words is run as it is. Of long output the beginning and the end are given, and how much is missing between.",
  effect: "destroys",
  openWorld: true,
  input: z.strictObject({
    guest: guestArgument,
    command: z
      .union([z.string().min(1).max(65_536), z.array(z.string().max(65_536)).min(1).max(1024)])
      .describe("a line of shell, or a list of words"),
    workdir: z.string().min(1).max(4095).optional().describe("directory to run in"),
    input: z
      .string()
      .max(1024 * 1024)
      .optional()
      .describe("text for its standard input"),
    timeout: z.number().min(0.1).max(3600).default(60).describe("seconds it may take before it is killed"),
    max_output: z
      .number()
      .int()
      .min(256)
      .max(1024 * 1024)
      .default(65_536)
      .describe("bytes to give at most of each output"),
  }),
  async run(client, { guest, command, workdir, input, timeout, max_output }, signal) {
    const words = typeof command === "string" ? ["/bin/sh", "-c", command] : command;
    const request = { command: words, ...(workdir === undefined ? {} : { cwd: workdir }) };
    const call = await client.exec("guest.exec", guest, request);
    const kept = { stdout: new HeadAndTail(max_output), stderr: new HeadAndTail(max_output) };
    const hangUp = () => call.close();
    signal.addEventListener("abort", hangUp, { once: true });
    // It may have been while the connection was made.
    if (signal.aborted) hangUp();
    const late = new Deadline(call, timeout * 1000);
    const output = () => ({ ...described("stdout", kept.stdout), ...described("stderr", kept.stderr) });
    try {
      void feed(call, input);
      const exitCode = await call.finish((stream, bytes) => kept[stream].push(bytes));
      if (late.passed) throw tooLong(timeout, output());
      return { kind: "data", exitCode, data: { guest, exit_code: exitCode, ...output() } };
    } catch (error) {
      signal.throwIfAborted();
      throw late.passed && !(error instanceof NexusError && error.code === "timeout") ? tooLong(timeout, output()) : error;
    } finally {
      late.clear();
      signal.removeEventListener("abort", hangUp);
      call.close();
    }
  },
});

class Deadline {
  passed = false;
  #timers: NodeJS.Timeout[];

  constructor(call: ExecCall, ms: number) {
    const kill = () => {
      this.passed = true;
      void call.send({ kind: "signal", signal: "SIGKILL" });
    };
    this.#timers = [setTimeout(kill, ms), setTimeout(() => call.close(), ms + killGraceMs)];
  }

  clear(): void {
    for (const timer of this.#timers) clearTimeout(timer);
  }
}

export async function feed(call: ExecCall, input: string | undefined): Promise<void> {
  if (input !== undefined) await call.send({ kind: "stdin", bytes: Buffer.from(input) });
  await call.send({ kind: "stdin-end" });
}

/** As text when it is text, else in base64; of what was too long, two parts and what is missing between. */
export function described(name: "stdout" | "stderr", kept: HeadAndTail): Record<string, unknown> {
  const { head, tail, omitted } = kept.end();
  const whole = Buffer.concat([head, tail]);
  if (omitted === 0) return isText(whole) ? { [name]: whole.toString("utf8") } : { [`${name}_base64`]: whole.toString("base64") };
  const [first, last] = [wholeCharacters(head), fromCharacter(tail)];
  const missing = { [`${name}_bytes`]: kept.total };
  if (!isText(first) || !isText(last))
    return { [`${name}_head_base64`]: head.toString("base64"), [`${name}_tail_base64`]: tail.toString("base64"), ...missing };
  const left = kept.total - first.length - last.length;
  return { [name]: `${first.toString("utf8")}\n[… ${left} bytes left out …]\n${last.toString("utf8")}`, ...missing };
}

/** Without the last bytes of a character whose first were cut off. */
function fromCharacter(bytes: Buffer): Buffer {
  let at = 0;
  while (at < Math.min(3, bytes.length) && ((bytes[at] ?? 0) & 0xc0) === 0x80) at++;
  return bytes.subarray(at);
}

function tooLong(seconds: number, output: Record<string, unknown>): NexusError {
  return new NexusError("timeout", `the command had not ended after ${seconds} s and was killed`, {
    hint: "give it more time with timeout, or run it in the background",
    details: output,
  });
}
