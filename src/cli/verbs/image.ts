import type { VerbContext } from "../context.ts";
import { eachName } from "../each-name.ts";
import { bytesText, since } from "../figures.ts";
import { table } from "../tables.ts";

export async function list(c: VerbContext): Promise<void> {
  const images = await (await c.client()).call("image.list");
  c.out.result(images, () =>
    table(
      ["REFERENCE", "SIZE", "PULLED", "USED BY", "DIGEST"],
      images.map((i) => [
        i.reference,
        bytesText(i.sizeBytes),
        i.pulledAt === undefined ? "" : since(i.pulledAt),
        i.usedBy.join(","),
        i.digest?.slice(0, 19) ?? "",
      ]),
    ),
  );
}

export async function pull(c: VerbContext): Promise<void> {
  const client = await c.client();
  using progress = c.progress();
  const image = await client.follow("image.pull", { body: { reference: c.arg("REF") } }, progress.show);
  progress[Symbol.dispose]();
  c.out.result(image, () => `${image.reference}  ${bytesText(image.sizeBytes)}\n`);
}

export async function remove(c: VerbContext): Promise<void> {
  const client = await c.client();
  await eachName(c, async (reference) => (await client.call("image.remove", { params: { reference } })).removed);
}
