import { once } from "node:events";
import type { VerbContext } from "../context.ts";
import type { Client } from "../../api/client.ts";
import { serviceOf } from "./present.ts";
import { runService } from "./sandboxes.ts";
import { isFinal, type RunView } from "../../spec/run-view.ts";
import type { GuestView } from "../../spec/views.ts";

type Asked = { follow: boolean; tail: number | undefined; signal: AbortSignal | undefined };

/** One output of one service; `who` is beside each line of it in JSON. */
type Source = { service: string; who: Record<string, string>; lines: (asked: Asked) => AsyncGenerator<string> };

/** What several guests and sandboxes write, each line under its name. With -f as it comes, until Ctrl-C. */
export async function followLogs(
  c: VerbContext,
  client: Client,
  { guests, runs }: { guests: readonly GuestView[]; runs: readonly RunView[] },
): Promise<void> {
  const follow = c.flags.on("follow");
  const signal = follow ? c.interrupted() : undefined;
  const sources = [...guests.map((guest) => guestOutput(client, guest)), ...runs.flatMap((run) => runOutputs(client, run))];
  const services = [...new Set(sources.map(({ service }) => service))];
  const width = Math.max(0, ...services.map((service) => service.length));
  const coloured = c.io.stdout.isTTY === true && c.io.env["NO_COLOR"] === undefined;
  const write = async (text: string) => {
    if (!c.io.stdout.write(text)) await once(c.io.stdout, "drain");
  };
  await Promise.all(
    sources.map(async ({ service, who, lines }) => {
      const name = `${service.padEnd(width)} │ `;
      const label = coloured ? `\u001b[${colours[services.indexOf(service) % colours.length]}m${name}\u001b[0m` : name;
      try {
        for await (const line of lines({ follow, tail: c.flags.number("tail", "whole"), signal })) {
          if (c.out.json) c.out.item({ ...who, service, line }, () => "");
          else await write(`${label}${line}\n`);
        }
      } catch (error) {
        if (signal?.aborted !== true) throw error;
      }
    }),
  );
}

function guestOutput(client: Client, guest: GuestView): Source {
  const { name } = guest;
  return {
    service: serviceOf(guest),
    who: { guest: name },
    async *lines({ follow, tail, signal }) {
      const asked = { params: { name }, query: { follow, ...(tail === undefined ? {} : { tail }) } };
      yield* linesOf(await client.bytes("guest.logs", asked, signal === undefined ? {} : { signal }));
    },
  };
}

function runOutputs(client: Client, run: RunView): Source[] {
  return (["stdout", "stderr"] as const).map((stream) => ({
    service: runService(run),
    who: { run: run.id, stream },
    async *lines({ follow, tail, signal }) {
      const asked = { params: { id: run.id }, query: { stream, follow } };
      const bytes = await client.bytes("run.logs", asked, signal === undefined ? {} : { signal });
      const { bytes: written, dropped } = run.output[stream];
      // Of one that has ended all was there already.
      const until = isFinal(run.state) ? Infinity : written - dropped;
      yield* tail === undefined ? linesOf(bytes) : lastLines(bytes, { tail, until });
    },
  }));
}

async function* linesOf(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const lines = new Lines();
  for await (const chunk of bytes) yield* lines.take(chunk);
  const rest = lines.end();
  if (rest !== "") yield rest;
}

/** Of the first so many bytes, which were there already, only the last lines; of the others all. */
async function* lastLines(bytes: AsyncIterable<Uint8Array>, { tail, until }: { tail: number; until: number }): AsyncGenerator<string> {
  const lines = new Lines();
  let kept: string[] = [];
  let seen = 0;
  const last = (more: readonly string[]) => (tail === 0 ? [] : [...kept, ...more].slice(-tail));
  for await (const chunk of bytes) {
    const old = chunk.subarray(0, Math.max(0, until - seen));
    const before = seen;
    seen += chunk.length;
    if (old.length > 0) kept = last(lines.take(old));
    if (seen < until) continue;
    if (before < until) yield* kept.splice(0);
    yield* lines.take(chunk.subarray(old.length));
  }
  const rest = lines.end();
  if (seen < until) kept = last(rest === "" ? [] : [rest]);
  else if (rest !== "" && tail > 0) kept.push(rest);
  yield* kept;
}

/** Cuts bytes into lines, carriage returns off; one that is very long is cut in pieces. */
export class Lines {
  readonly #decoder = new TextDecoder();
  #rest = "";

  take(chunk: Uint8Array): string[] {
    const parts = (this.#rest + this.#decoder.decode(chunk, { stream: true })).split("\n");
    this.#rest = parts.pop() ?? "";
    if (this.#rest.length > longestLine) {
      parts.push(this.#rest);
      this.#rest = "";
    }
    return parts.map((text) => text.replace(/\r+$/, ""));
  }

  end(): string {
    return this.#rest.replace(/\r+$/, "");
  }
}

const longestLine = 16_384;
/** Of the terminal's own palette, so that they fit its background. */
const colours = [36, 33, 32, 35, 34, 96, 93, 92, 95, 94] as const;
