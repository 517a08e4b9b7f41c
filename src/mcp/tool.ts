import type { z } from "zod";
import type { Client } from "../api/client.ts";
import { SpecError } from "../base/errors.ts";
import { check } from "../spec/problems.ts";
import type { RunView } from "../spec/run-view.ts";
import { nameText } from "../spec/text.ts";

/** What a tool gives: values, or the bytes of a file with a sentence on which part of it they are. */
export type ToolAnswer =
  | { kind: "data"; data: Record<string, unknown>; /** Of the command that ran. */ exitCode?: number; /** What ran it. */ run?: RunView }
  | { kind: "bytes"; bytes: Buffer; isText: boolean; uri: string; note?: string | undefined; data: Record<string, unknown> };

/** One thing an assistant, or a person at a shell, can have done: one request to the daemon. */
export type Tool = {
  name: string;
  title: string;
  description: string;
  /** Hints for whoever decides whether to ask a person first; they bind nobody. */
  annotations: { readOnlyHint: boolean; destructiveHint: boolean; idempotentHint: boolean; openWorldHint: boolean };
  input: z.ZodObject;
  /** @throws SpecError with every fault of the arguments; NexusError as the daemon raised it */
  call(client: Client, given: unknown, signal: AbortSignal): Promise<ToolAnswer>;
};

type Description<Input extends z.ZodObject> = {
  name: string;
  title: string;
  description: string;
  /** reads: changes nothing. adds: changes, and loses nothing. destroys: something may be lost by it. */
  effect: "reads" | "adds" | "destroys";
  /** Done twice it is as done once. */
  repeatable?: true;
  /** Reaches beyond this host's own objects. */
  openWorld?: true;
  input: Input;
  run: (client: Client, input: z.output<Input>, signal: AbortSignal) => Promise<ToolAnswer>;
};

export function tool<Input extends z.ZodObject>(of: Description<Input>): Tool {
  return {
    name: of.name,
    title: of.title,
    description: of.description,
    annotations: {
      readOnlyHint: of.effect === "reads",
      destructiveHint: of.effect === "destroys",
      idempotentHint: of.effect === "reads" || of.repeatable === true,
      openWorldHint: of.openWorld === true,
    },
    input: of.input,
    async call(client, given, signal) {
      const checked = check(of.input, given);
      if ("problems" in checked)
        throw new SpecError(
          checked.problems.map(({ path, problem, hint }) => ({ path, problem, ...(hint === undefined ? {} : { hint }) })),
        );
      return await of.run(client, checked.value, signal);
    },
  };
}

/** Which guest, in every tool that is about one. */
export const guestArgument = nameText.describe("name of the guest: a virtual machine or a node");
