import type { VerbContext } from "../context.ts";
import { eachName } from "../each-name.ts";
import { bytesText, since } from "../figures.ts";
import { vmImageFor } from "../image-flag.ts";
import { table } from "../tables.ts";
import { NexusError } from "../../base/errors.ts";

export async function list(c: VerbContext): Promise<void> {
  const images = await (await c.client()).call("image.list");
  c.out.result(images, () =>
    table(
      ["REFERENCE", "KIND", "SIZE", "PULLED", "USED BY", "DIGEST"],
      images.map((i) => [
        i.reference,
        i.kind,
        bytesText(i.sizeBytes),
        i.pulledAt === undefined ? "" : since(i.pulledAt),
        i.usedBy.join(","),
        i.digest?.slice(0, 19) ?? "",
      ]),
    ),
  );
}

export async function pull(c: VerbContext): Promise<void> {
  const kind = kindOf(c);
  const text = c.arg("REF");
  // A disk file is used where it is, and the daemon runs in a directory of its own.
  const reference = kind === "oci" ? text : vmImageFor(text, { directory: process.cwd(), home: c.io.env["HOME"] });
  const checksum = c.flags.text("checksum");
  await fetch(c, { reference, ...(kind === undefined ? {} : { kind }), ...(checksum === undefined ? {} : { checksum }) });
}

/** Only `mini` is built here. */
export async function build(c: VerbContext): Promise<void> {
  const name = c.arg("NAME");
  if (name !== "mini")
    throw new NexusError("usage", `there is no recipe for an image ${name}`, { hint: "mini is what can be built: nexus image build mini" });
  await fetch(c, { reference: name, kind: "vm" });
}

export async function remove(c: VerbContext): Promise<void> {
  const client = await c.client();
  const kind = kindOf(c);
  const query = kind === undefined ? {} : { kind };
  await eachName(c, async (reference) => (await client.call("image.remove", { params: { reference }, query })).removed);
}

async function fetch(c: VerbContext, body: { reference: string; kind?: "oci" | "vm"; checksum?: string }): Promise<void> {
  const client = await c.client();
  using progress = c.progress();
  const image = await client.follow("image.pull", { body }, progress.show);
  progress[Symbol.dispose]();
  c.out.result(image, () => `${image.reference}  ${bytesText(image.sizeBytes)}\n`);
}

function kindOf({ flags }: VerbContext): "oci" | "vm" | undefined {
  if (flags.on("vm") && flags.on("oci")) throw new NexusError("usage", "an image is one of --vm and --oci, not both");
  return flags.on("vm") ? "vm" : flags.on("oci") ? "oci" : undefined;
}
