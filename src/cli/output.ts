import type { Writable } from "node:stream";
import type { NexusError } from "../base/errors.ts";

/** What a verb prints through: with --json one document on stdout, else text. */
export type Output = {
  json: boolean;
  /** The verb's result; `text` is only made when it is shown. */
  result(value: unknown, text: () => string): void;
  /** One item of a stream: its own JSON line, or text. */
  item(value: unknown, text: () => string): void;
  /** A remark beside the result, on stderr; nothing with --json. */
  note(line: string): void;
};

export function makeOutput(streams: { stdout: Writable; stderr: Writable }, json: boolean): Output {
  return {
    json,
    result(value, text) {
      streams.stdout.write(json ? `${JSON.stringify(value, null, 2)}\n` : text());
    },
    item(value, text) {
      streams.stdout.write(json ? `${JSON.stringify(value)}\n` : text());
    },
    note(line) {
      if (!json) streams.stderr.write(`${line}\n`);
    },
  };
}

/** `nexus: what`, or what already says which command it is about, and `  hint`; with --json the error's body on stdout as well, since that is what a program reads. */
export function printError(streams: { stdout: Writable; stderr: Writable }, error: NexusError, json: boolean): void {
  if (json) {
    streams.stdout.write(`${JSON.stringify({ error: error.toBody() }, null, 2)}\n`);
    return;
  }
  const [first = "", ...more] = error.message.split("\n");
  const lines = [/^nexus[: ]/.test(first) ? first : `nexus: ${first}`, ...more.map((line) => `       ${line}`)];
  if (error.hint !== undefined) lines.push(`  ${error.hint}`);
  streams.stderr.write(`${lines.join("\n")}\n`);
}
