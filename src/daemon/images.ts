import type { Answer, Handlers } from "../api/contract.ts";
import { NexusError } from "../base/errors.ts";
import type { ImageStore, ImageView } from "../images/store.ts";
import { isVersionedAlias } from "../images/vm-aliases.ts";
import type { VmImageView } from "../images/vm-image.ts";
import type { VmImageStore } from "../images/vm-store.ts";

export type Images = {
  oci: ImageStore;
  vm: VmImageStore;
  /** The name of a guest by its id. */
  nameOf: (guestId: string) => string | undefined;
};

type View = Answer<"image.pull">;

/** Images of both kinds behind one set of operations. */
export function imageOperations(r: Images): Pick<Handlers, "image.list" | "image.pull" | "image.remove"> {
  return {
    "image.list": async () => [...r.oci.list().map((image) => ociView(r, image)), ...r.vm.list().map((image) => vmView(r, image))],
    "image.pull": async ({ body }, { progress, signal }) => {
      const { reference, checksum, kind = kindMeant(reference) } = body;
      if (kind === "vm") return await pullVm(r, reference, { progress, signal, ...(checksum === undefined ? {} : { checksum }) });
      if (checksum !== undefined)
        throw new NexusError("usage", `${reference} is fetched from a registry, which says itself what it must hash to`, {
          hint: `name it with its digest: ${reference}@sha256:…`,
        });
      const pulled = await r.oci.pull(reference, progress, signal);
      const image = r.oci.list().find((one) => one.reference === pulled.reference || one.digest === pulled.key);
      if (image === undefined) throw new NexusError("internal", `image ${pulled.reference} was fetched and is not listed`);
      return ociView(r, image);
    },
    "image.remove": async ({ params, query }) => {
      const { reference } = params;
      const kind = query.kind ?? kindHere(r, reference);
      if (kind === "vm") await r.vm.remove(reference);
      else r.oci.remove(reference);
      return { removed: [reference] };
    },
  };
}

/**
 * What a reference is when nobody says: an address, a path, and a publisher's name with its version are disks for virtual machines. A name
 * alone, as alpine, is what a registry calls so.
 */
function kindMeant(reference: string): "oci" | "vm" {
  return /^https?:\/\//i.test(reference) || reference.startsWith("/") || reference === "mini" || isVersionedAlias(reference) ? "vm" : "oci";
}

/** @throws NexusError usage when there is one of each */
function kindHere({ oci, vm }: Images, reference: string): "oci" | "vm" {
  const isVm = vm.list().some((image) => image.reference === reference);
  if (!isVm) return kindMeant(reference) === "vm" ? "vm" : "oci";
  if (!oci.list().some((image) => image.reference === reference)) return "vm";
  throw new NexusError("usage", `there is an image ${reference} of virtual machines and one of containers`, {
    hint: "say which: --vm or --oci",
  });
}

async function pullVm(r: Images, reference: string, options: Parameters<VmImageStore["pull"]>[1]): Promise<View> {
  const image = await r.vm.pull(reference, options);
  const listed = r.vm.list().find((one) => one.key === image.key);
  if (listed !== undefined) return vmView(r, { ...listed, reference });
  if (image.disk === undefined) throw new NexusError("internal", `image ${reference} was fetched and is not listed`);
  // A file of the host is used where it is: it was looked into, and that is all.
  return { reference, kind: "vm", format: image.disk.format, sizeBytes: 0, usedBy: usersOf(r, r.vm.usedBy(image)) };
}

function ociView(r: Images, { reference, digest, bytes, pulledAt, usedBy }: ImageView): View {
  return {
    reference,
    kind: "oci",
    sizeBytes: bytes,
    usedBy: usersOf(r, usedBy),
    ...(digest === "" ? {} : { digest }),
    ...(pulledAt === "" ? {} : { pulledAt }),
  };
}

function vmView(r: Images, { reference, key, format, bytes, virtualBytes, pulledAt, usedBy }: VmImageView): View {
  return {
    reference,
    kind: "vm",
    format,
    sizeBytes: bytes,
    pulledAt,
    usedBy: usersOf(r, usedBy),
    ...(key.startsWith("sha256:") ? { digest: key } : {}),
    ...(virtualBytes === undefined ? {} : { virtualBytes }),
  };
}

function usersOf({ nameOf }: Images, ids: readonly string[]): string[] {
  return ids.map((id) => nameOf(id) ?? id);
}
