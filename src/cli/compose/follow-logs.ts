import { once } from "node:events";
import type { VerbContext } from "../context.ts";
import type { Client } from "../../api/client.ts";
import { serviceOf } from "./present.ts";
import type { GuestView } from "../../spec/views.ts";

/** What several guests write, each line under its name. With -f as it comes, until Ctrl-C. */
export async function followLogs(c: VerbContext, client: Client, guests: readonly GuestView[]): Promise<void> {
  const follow = c.flags.on("follow");
  const tail = c.flags.number("tail", "whole");
  const signal = follow ? c.interrupted() : undefined;
  const width = Math.max(0, ...guests.map((guest) => serviceOf(guest).length));
  const coloured = c.io.stdout.isTTY === true && c.io.env["NO_COLOR"] === undefined;
  const write = async (text: string) => {
    if (!c.io.stdout.write(text)) await once(c.io.stdout, "drain");
  };
  await Promise.all(
    guests.map(async (guest, i) => {
      const service = serviceOf(guest);
      const name = `${service.padEnd(width)} │ `;
      const label = coloured ? `\u001b[${colours[i % colours.length]}m${name}\u001b[0m` : name;
      const line = async (text: string) =>
        c.out.json ? c.out.item({ guest: guest.name, service, line: text }, () => "") : await write(`${label}${text}\n`);
      const asked = { params: { name: guest.name }, query: { follow, ...(tail === undefined ? {} : { tail }) } };
      try {
        const lines = new Lines();
        for await (const chunk of await client.bytes("guest.logs", asked, signal === undefined ? {} : { signal }))
          for (const text of lines.take(chunk)) await line(text);
        const rest = lines.end();
        if (rest !== "") await line(rest);
      } catch (error) {
        if (signal?.aborted !== true) throw error;
      }
    }),
  );
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
