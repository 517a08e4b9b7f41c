import type { VerbContext } from "../context.ts";
import { eachName } from "../each-name.ts";
import { addressesText, guestFacts } from "../guest-text.ts";
import { table } from "../tables.ts";

export async function create(c: VerbContext): Promise<void> {
  const { networksOf, publishOf } = await import("../guest-flags.ts");
  const networks = networksOf(c);
  const body = { name: c.arg("NAME"), ...(networks.length === 0 ? {} : { networks }), publish: publishOf(c) };
  const guest = await (await c.client()).call("attachment.create", { body });
  c.out.result(guest, () => `${guest.name}  ${addressesText(guest)}  ${guest.netns ?? ""}\n`);
}

export async function list(c: VerbContext): Promise<void> {
  const guests = await (await c.client()).call("attachment.list");
  c.out.result(guests, () =>
    table(
      ["NAME", "NETWORKS", "ADDRESSES", "NAMESPACE"],
      guests.map((g) => [g.name, g.attachments.map((a) => a.network).join(","), addressesText(g), g.netns ?? ""]),
    ),
  );
}

export async function inspect(c: VerbContext): Promise<void> {
  const guest = await (await c.client()).call("attachment.get", { params: { name: c.arg("NAME") } });
  c.out.result(guest, () => guestFacts(guest));
}

export async function remove(c: VerbContext): Promise<void> {
  const client = await c.client();
  await eachName(c, async (name) => (await client.call("attachment.remove", { params: { name } })).removed);
}
