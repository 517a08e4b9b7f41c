import { once } from "node:events";
import type { VerbContext } from "../context.ts";
import { eachName } from "../each-name.ts";
import { bytesText, runFacts, runTable } from "../run-text.ts";
import type { Client } from "../../api/client.ts";
import { NexusError } from "../../base/errors.ts";
import { parseDuration } from "../../spec/flags.ts";

export async function list(c: VerbContext): Promise<void> {
  const limit = c.flags.number("limit", "whole");
  const runs = await (await c.client()).call("run.list", { query: limit === undefined ? {} : { limit } });
  c.out.result(runs, () => runTable(runs));
}

export async function inspect(c: VerbContext): Promise<void> {
  const client = await c.client();
  const run = await client.call("run.get", { params: { id: c.arg("ID") } });
  if (!c.flags.on("audit")) return c.out.result(run, () => runFacts(run));
  const lines = (await textOf(client, run.id)).split("\n").filter((line) => line !== "");
  c.out.result({ ...run, audit: lines.map((line) => JSON.parse(line) as unknown) }, () => `${runFacts(run)}\n${lines.join("\n")}\n`);
}

/** The bytes as they are: stdout to stdout, stderr to stderr. */
export async function logs(c: VerbContext): Promise<void> {
  const { flags } = c;
  const stream = flags.text("stream");
  if (stream !== undefined && stream !== "stdout" && stream !== "stderr")
    throw new NexusError("usage", `nexus run logs: --stream is stdout or stderr, not "${stream}"`);
  const follow = flags.on("follow");
  const signal = follow ? c.interrupted() : undefined;
  const client = await c.client();
  const streams: ("stdout" | "stderr" | "audit")[] = flags.on("audit") ? ["audit"] : stream === undefined ? ["stdout", "stderr"] : [stream];
  const give = async (which: "stdout" | "stderr" | "audit") => {
    const to = which === "stderr" && stream === undefined ? c.io.stderr : c.io.stdout;
    const asked = { params: { id: c.arg("ID") }, query: { stream: which, follow } };
    const bytes = await client.bytes("run.logs", asked, signal === undefined ? {} : { signal });
    for await (const chunk of bytes) if (!to.write(chunk)) await once(to, "drain");
    const dropped = Number(bytes.headers["nexus-dropped"] ?? 0);
    if (dropped > 0) c.out.note(`nexus: ${bytesText(dropped)} in the middle of ${which} were not kept`);
  };
  try {
    await Promise.all(streams.map(give));
  } catch (error) {
    if (signal?.aborted !== true) throw error;
  }
}

export async function cancel(c: VerbContext): Promise<void> {
  const client = await c.client();
  await eachName(c, async (id) => [(await client.call("run.cancel", { params: { id } })).id]);
}

export async function remove(c: VerbContext): Promise<void> {
  const client = await c.client();
  await eachName(c, async (id) => (await client.call("run.remove", { params: { id } })).removed);
}

export async function prune(c: VerbContext): Promise<void> {
  const text = c.flags.text("older");
  const query = text === undefined ? {} : { older: Math.ceil(parseDuration("--older", text) / 1000) };
  const { removed } = await (await c.client()).call("run.prune", { query });
  c.out.result(removed, () => `${removed.length} ${removed.length === 1 ? "run" : "runs"} forgotten\n`);
}

async function textOf(client: Client, id: string): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of await client.bytes("run.logs", { params: { id }, query: { stream: "audit" } })) chunks.push(chunk);
  return Buffer.concat(chunks).toString("utf8");
}
