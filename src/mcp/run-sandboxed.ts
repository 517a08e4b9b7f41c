import { z } from "zod";
import { imageReference } from "../api/image-reference.ts";
import { HeadAndTail } from "./bytes.ts";
import { described, feed } from "./run-command.ts";
import { tool } from "./tool.ts";
import { runNet } from "../spec/run.ts";
import type { RunView } from "../spec/run-view.ts";
import { nameText } from "../spec/text.ts";

export const runSandboxed = tool({
  name: "run_sandboxed",
  title: "Run a command in a sandbox",
  description:
    "Runs one command in a sandbox of this host: no network but the names given in allow, limits on time, memory and processes, files only in the facility. A text is run by /bin/sh -c; a list of words is run as it is. Gives the exit code, how it ended, and the output; of long output the beginning and the end.",
  effect: "destroys",
  openWorld: true,
  input: z.strictObject({
    command: z
      .union([z.string().min(1).max(65_536), z.array(z.string().max(65_536)).min(1).max(1024)])
      .describe("a line of shell, or a list of words"),
    // Over HTTP tools run with the daemon's own rights: profile host, and directories that are no facilities, are for people.
    profile: z.enum(["untrusted", "trusted"]).default("untrusted").describe("how far the command is trusted"),
    // A directory of the host would be read with those rights too.
    image: imageReference.optional().describe("of profile trusted: the image it runs on, as alpine:3.20, instead of mini"),
    allow: runNet.shape.allow.describe("names it may connect to: example.com:443, *.example.com:443"),
    facility: nameText.optional().describe("the facility it works on"),
    workdir: z.string().min(1).max(4095).optional().describe("where in the facility it begins"),
    env: z.record(z.string(), z.string()).default({}).describe("environment variables; none is inherited"),
    input: z
      .string()
      .max(1024 * 1024)
      .optional()
      .describe("text for its standard input"),
    timeout: z.number().min(0.1).max(3600).default(60).describe("seconds it may take before it is ended"),
    mem: z.number().int().min(4).default(512).describe("MiB of memory"),
    max_output: z
      .number()
      .int()
      .min(256)
      .max(1024 * 1024)
      .default(65_536)
      .describe("bytes to give at most of each output"),
  }),
  async run(client, { command, allow, workdir, input, timeout, max_output, ...rest }, signal) {
    const { facility, profile, image, env, mem } = rest;
    const call = await client.run({
      command: typeof command === "string" ? ["/bin/sh", "-c", command] : command,
      profile,
      env,
      mem,
      net: { allow },
      timeoutMs: Math.ceil(timeout * 1000),
      ...(image === undefined ? {} : { image }),
      ...(facility === undefined ? {} : { facility }),
      ...(workdir === undefined ? {} : { cwd: workdir }),
    });
    const kept = { stdout: new HeadAndTail(max_output), stderr: new HeadAndTail(max_output) };
    // Hanging up cancels it.
    const hangUp = () => call.close();
    signal.addEventListener("abort", hangUp, { once: true });
    if (signal.aborted) hangUp();
    let view: RunView | undefined;
    try {
      void feed(call, input);
      const exitCode = await call.finish(
        (stream, bytes) => kept[stream].push(bytes),
        (status) => (view = status as RunView),
      );
      const output = { ...described("stdout", kept.stdout), ...described("stderr", kept.stderr) };
      const data = { ...endOf(view), exit_code: exitCode, ...output };
      return { kind: "data", exitCode, data, ...(view === undefined ? {} : { run: view }) };
    } catch (error) {
      signal.throwIfAborted();
      throw error;
    } finally {
      signal.removeEventListener("abort", hangUp);
      call.close();
    }
  },
});

function endOf(view: RunView | undefined): Record<string, unknown> {
  if (view === undefined) return {};
  const { id, state, reason, egress } = view;
  return { run: id, state, reason, ...(egress === undefined ? {} : { connections: egress }) };
}
