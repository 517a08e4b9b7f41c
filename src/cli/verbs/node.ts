import type { VerbContext } from "../context.ts";
import { addressesText, guestLine, publishText, stateText } from "../guest-text.ts";
import { table } from "../tables.ts";
import type { NodeSpecInput } from "../../spec/node.ts";
import type { RestartPolicy } from "../../spec/restart-policy.ts";

export async function create(c: VerbContext): Promise<void> {
  const { envOf, imageOf, marksOf, memOf, networksOf, publishOf, tmpfsOf, volumesOf } = await import("../guest-flags.ts");
  const networks = networksOf(c);
  const optional = {
    image: imageOf(c),
    mem: memOf(c),
    cpu: c.flags.number("cpu", "whole"),
    cpus: c.flags.number("cpus", "any"),
    pids: c.flags.number("pids", "whole"),
    networks: networks.length === 0 ? undefined : networks,
    restart: c.flags.text("restart") as RestartPolicy | undefined,
    tmpfs: tmpfsOf(c),
    hostname: c.flags.text("hostname"),
    dns: c.flags.many("dns").length === 0 ? undefined : c.flags.many("dns"),
  };
  const given = Object.fromEntries(Object.entries(optional).filter(([, value]) => value !== undefined));
  const body: NodeSpecInput = {
    name: c.arg("NAME"),
    command: c.rest,
    env: envOf(c),
    publish: publishOf(c),
    volumes: volumesOf(c),
    ...marksOf(c),
    ...given,
  };
  const client = await c.client();
  using progress = c.progress();
  const guest = await client.follow("node.create", { body, query: { start: !c.flags.on("no-run") } }, progress.show);
  progress[Symbol.dispose]();
  c.out.result(guest, () => guestLine(guest));
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
