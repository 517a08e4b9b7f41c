import type { VerbContext } from "../context.ts";
import { toolName } from "../commands-mcp.ts";
import { remarksOn } from "../run-text.ts";
import { packageVersion } from "./version.ts";
import { NexusError } from "../../base/errors.ts";

/** Serves an assistant that started this process, until it closes our input. */
export async function serve(c: VerbContext): Promise<void> {
  const { serveOverStdio } = await import("../../mcp/stdio.ts");
  const signal = c.interrupted();
  const client = await c.client();
  const { stdin, stdout } = c.io;
  await serveOverStdio(client, { version: packageVersion(), readOnly: c.flags.on("read-only") }, { stdin, stdout, signal });
}

/** Calls one tool, with flags for its arguments; prints what it gave as it is, and gives a command's own exit code. */
export async function call(c: VerbContext): Promise<number> {
  const { tools } = await import("../../mcp/tools.ts");
  const { argumentsOf } = await import("../tool-arguments.ts");
  const tool = tools.find(({ name }) => name === toolName(c.command));
  if (tool === undefined) throw new TypeError(`the command ${c.command.path} is of no tool`);
  const given = argumentsOf(c, tool.input);
  const signal = c.interrupted();
  const client = await c.client();
  const answer = await tool.call(client, given, signal).catch((error: unknown) => {
    if (signal.aborted) return undefined;
    throw error;
  });
  if (answer === undefined) return interruptedExit;
  switch (answer.kind) {
    case "bytes": {
      const content = answer.isText ? { text: answer.bytes.toString("utf8") } : { base64: answer.bytes.toString("base64") };
      if (c.out.json) c.out.result({ ...answer.data, ...content }, () => "");
      else c.io.stdout.write(answer.bytes);
      if (answer.data["cut"] === true && answer.note !== undefined) c.out.note(`nexus: ${answer.note}`);
      return 0;
    }
    case "data": {
      const { data, exitCode, run } = answer;
      if (exitCode === undefined || c.out.json) c.out.result(data, () => `${JSON.stringify(data, null, 2)}\n`);
      else for (const name of ["stdout", "stderr"] as const) c.io[name].write(outputOf(data, name));
      if (run !== undefined) for (const remark of remarksOn(run)) c.out.note(`nexus: ${remark}`);
      return exitCode ?? 0;
    }
  }
}

/** 128 + SIGINT, as a shell has it. */
const interruptedExit = 130;

/** @throws NexusError usage when it is said twice, or not at all */
export function guestOf(c: VerbContext): string {
  const given = ["guest", "vm", "node"].flatMap((flag) => c.flags.text(flag) ?? []);
  const [guest] = given;
  if (guest !== undefined && given.length === 1) return guest;
  throw new NexusError("usage", `nexus ${c.command.path}: ${given.length === 0 ? "the guest is missing" : "one guest, not several"}`, {
    hint: `for example: ${c.command.example}`,
  });
}

function outputOf(data: Record<string, unknown>, name: "stdout" | "stderr"): string | Buffer {
  const text = data[name];
  if (typeof text === "string") return text;
  const part = (key: string) => Buffer.from(String(data[`${name}_${key}`] ?? ""), "base64");
  return Buffer.concat([part("base64"), part("head_base64"), part("tail_base64")]);
}
