import type { VerbContext } from "../context.ts";
import { eachName } from "../each-name.ts";
import { addressesText, guestFacts, publishText, stateText } from "../guest-text.ts";
import { table } from "../tables.ts";
import { NexusError } from "../../base/errors.ts";
import type { NodeSpecInput, RestartPolicy } from "../../spec/node.ts";

export async function create(c: VerbContext): Promise<void> {
  const { envOf, imageOf, memOf, networksOf, publishOf } = await import("../guest-flags.ts");
  const networks = networksOf(c);
  const optional = {
    image: imageOf(c),
    mem: memOf(c),
    cpu: c.flags.number("cpu", "whole"),
    cpus: c.flags.number("cpus", "any"),
    pids: c.flags.number("pids", "whole"),
    networks: networks.length === 0 ? undefined : networks,
    restart: c.flags.text("restart") as RestartPolicy | undefined,
    hostname: c.flags.text("hostname"),
    dns: c.flags.many("dns").length === 0 ? undefined : c.flags.many("dns"),
  };
  const given = Object.fromEntries(Object.entries(optional).filter(([, value]) => value !== undefined));
  const body: NodeSpecInput = { name: nameOf(c), command: c.rest, env: envOf(c), publish: publishOf(c), ...given };
  const client = await c.client();
  using progress = c.progress();
  const guest = await client.follow("node.create", { body, query: { start: !c.flags.on("no-run") } }, progress.show);
  progress[Symbol.dispose]();
  c.out.result(
    guest,
    () => `${[guest.name, stateText(guest), addressesText(guest), publishText(guest.publish)].filter((part) => part !== "").join("  ")}\n`,
  );
}

export async function list(c: VerbContext): Promise<void> {
  const guests = await (await c.client()).call("node.list");
  c.out.result(guests, () =>
    table(
      ["NAME", "STATE", "IMAGE", "NETWORKS", "ADDRESSES", "PUBLISHED"],
      guests.map((g) => [
        g.name,
        stateText(g),
        g.image ?? "",
        g.attachments.map((a) => a.network).join(","),
        addressesText(g),
        publishText(g.publish),
      ]),
    ),
  );
}

export async function inspect(c: VerbContext): Promise<void> {
  const guest = await (await c.client()).call("node.get", { params: { name: c.arg("NAME") } });
  c.out.result(guest, () => guestFacts(guest));
}

export async function start(c: VerbContext): Promise<void> {
  const client = await c.client();
  using progress = c.progress();
  await eachName(c, async (name) => [await client.follow("node.start", { params: { name } }, progress.show)]);
}

export async function stop(c: VerbContext): Promise<void> {
  const { graceOf } = await import("../guest-flags.ts");
  const query = graceOf(c);
  const client = await c.client();
  await eachName(c, async (name) => [await client.call("node.stop", { params: { name }, query })]);
}

export async function restart(c: VerbContext): Promise<void> {
  const { graceOf } = await import("../guest-flags.ts");
  const query = graceOf(c);
  const client = await c.client();
  using progress = c.progress();
  await eachName(c, async (name) => [await client.follow("node.restart", { params: { name }, query }, progress.show)]);
}

export async function remove(c: VerbContext): Promise<void> {
  const client = await c.client();
  await eachName(
    c,
    async (name) => (await client.call("node.remove", { params: { name }, query: { force: c.flags.on("force") } })).removed,
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
    for await (const chunk of await client.bytes("node.logs", asked, signal === undefined ? {} : { signal })) {
      if (!c.io.stdout.write(chunk)) await once(c.io.stdout, "drain");
    }
  } catch (error) {
    if (signal?.aborted !== true) throw error;
  }
}

function nameOf(c: VerbContext): string {
  const [word, flag] = [c.arg("NAME"), c.flags.text("name") ?? ""];
  if (word !== "" && flag !== "" && word !== flag)
    throw new NexusError("usage", `nexus node create: two names are given, ${word} and ${flag}`);
  if (word === "" && flag === "")
    throw new NexusError("usage", "nexus node create: NAME is missing", { hint: "for example: nexus node create web --mem 256 --cpu 512" });
  return word === "" ? flag : word;
}
