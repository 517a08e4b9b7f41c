import type { VerbContext } from "../context.ts";
import { eachName } from "../each-name.ts";
import { bytesText, since } from "../figures.ts";
import { table } from "../tables.ts";

export async function list(c: VerbContext): Promise<void> {
  const volumes = await (await c.client()).call("volume.list");
  c.out.result(volumes, () =>
    table(
      ["NAME", "KIND", "SIZE", "CHANGED", "USED BY", "PATH"],
      volumes.map((v) => [
        v.name,
        v.kind,
        v.sizeBytes === undefined ? "" : bytesText(v.sizeBytes),
        since(v.changedAt),
        v.usedBy.join(","),
        v.path,
      ]),
    ),
  );
}

export async function remove(c: VerbContext): Promise<void> {
  const client = await c.client();
  await eachName(c, async (name) => (await client.call("volume.remove", { params: { name } })).removed);
}
