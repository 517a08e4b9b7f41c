import { z } from "zod";
import { NexusError } from "../base/errors.ts";
import type { VerbContext } from "./context.ts";
import { guestOf } from "./verbs/mcp.ts";
import { parseEnv } from "../spec/flags.ts";

/** The arguments of a tool as flags and words give them; what they must be, the tool's own schema says. @throws NexusError usage */
export function argumentsOf(c: VerbContext, input: z.ZodObject): Record<string, unknown> {
  const given: Record<string, unknown> = {};
  const { properties = {} } = z.toJSONSchema(input, { io: "input" });
  for (const [key, property] of Object.entries(properties)) {
    const type = typeof property === "object" ? property.type : undefined;
    const flag = key.replaceAll("_", "-");
    if (key === "guest") given[key] = guestOf(c);
    else if (key === "command") {
      const line = c.flags.text(flag);
      if ((line === undefined) === (c.rest.length === 0)) throw oneCommand(c, line !== undefined);
      given[key] = line ?? c.rest;
    } else if (type === "boolean") {
      if (c.flags.on(flag)) given[key] = true;
    } else if (type === "array") {
      if (c.flags.on(flag)) given[key] = c.flags.many(flag);
    } else if (type === "object") {
      if (c.flags.on(flag)) given[key] = Object.fromEntries(c.flags.many(flag).map(parseEnv));
    } else {
      const text = c.flags.text(flag);
      if (text === undefined) continue;
      const isNumber = type === "integer" || type === "number";
      // What is no number stays text, so that the schema words the fault.
      given[key] = isNumber && /^-?\d+(\.\d+)?$/.test(text) ? Number(text) : text;
    }
  }
  return given;
}

function oneCommand(c: VerbContext, isTwice: boolean): NexusError {
  const problem = isTwice ? "one command, not both --command and words after --" : "the command is missing";
  return new NexusError("usage", `nexus ${c.command.path}: ${problem}`, { hint: `for example: ${c.command.example}` });
}
