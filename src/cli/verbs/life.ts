import type { VerbContext } from "../context.ts";
import { eachName } from "../each-name.ts";
import { guestFacts } from "../guest-text.ts";

/** What nodes and virtual machines have in common: the command's first word says which it is. */
function nounOf(c: VerbContext): "node" | "vm" {
  return c.command.path.startsWith("vm ") ? "vm" : "node";
}

export async function inspect(c: VerbContext): Promise<void> {
  const guest = await (await c.client()).call(`${nounOf(c)}.get`, { params: { name: c.arg("NAME") } });
  c.out.result(guest, () => guestFacts(guest));
}

export async function start(c: VerbContext): Promise<void> {
  const client = await c.client();
  using progress = c.progress();
  await eachName(c, async (name) => [await client.follow(`${nounOf(c)}.start`, { params: { name } }, progress.show)]);
}

export async function stop(c: VerbContext): Promise<void> {
  const { graceOf } = await import("../guest-flags.ts");
  const query = graceOf(c);
  const client = await c.client();
  await eachName(c, async (name) => [await client.call(`${nounOf(c)}.stop`, { params: { name }, query })]);
}

export async function restart(c: VerbContext): Promise<void> {
  const { graceOf } = await import("../guest-flags.ts");
  const query = graceOf(c);
  const client = await c.client();
  using progress = c.progress();
  await eachName(c, async (name) => [await client.follow(`${nounOf(c)}.restart`, { params: { name }, query }, progress.show)]);
}

export async function remove(c: VerbContext): Promise<void> {
  const client = await c.client();
  await eachName(
    c,
    async (name) => (await client.call(`${nounOf(c)}.remove`, { params: { name }, query: { force: c.flags.on("force") } })).removed,
  );
}

/** The bytes as they are, with --json too: they are the guest's, not ours. Ctrl-C ends a follow without complaint. */
export async function logs(c: VerbContext): Promise<void> {
  const { once } = await import("node:events");
  const follow = c.flags.on("follow");
  const tail = c.flags.number("tail", "whole");
  const signal = follow ? c.interrupted() : undefined;
  const client = await c.client();
  const asked = { params: { name: c.arg("NAME") }, query: { follow, ...(tail === undefined ? {} : { tail }) } };
  try {
    for await (const chunk of await client.bytes(`${nounOf(c)}.logs`, asked, signal === undefined ? {} : { signal })) {
      if (!c.io.stdout.write(chunk)) await once(c.io.stdout, "drain");
    }
  } catch (error) {
    if (signal?.aborted !== true) throw error;
  }
}
