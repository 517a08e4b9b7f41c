import { z } from "zod";
import { WireError } from "../base/errors.ts";

/** Documents of the OCI image format 1.x and of Docker's schema 2, which differ in media types only. */

const digest = z.string().regex(/^sha256:[0-9a-f]{64}$/);
const size = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER);
const descriptor = z.object({ mediaType: z.string(), digest, size });
const platform = z.object({ os: z.string(), architecture: z.string(), variant: z.string().optional() });

const indexDocument = z.object({ manifests: z.array(descriptor.extend({ platform: platform.optional() })).max(1000) });
const manifestDocument = z.object({ config: descriptor, layers: z.array(descriptor).max(512) });

const texts = z
  .array(z.string())
  .nullish()
  .transform((list) => list ?? []);
const text = z
  .string()
  .nullish()
  .transform((value) => value ?? "");
const configDocument = z.object({
  os: text,
  architecture: text,
  config: z.object({ Entrypoint: texts, Cmd: texts, Env: texts, WorkingDir: text, User: text }).nullish(),
  rootfs: z.object({ diff_ids: z.array(digest).max(512) }),
});

export type Descriptor = z.output<typeof descriptor>;
export type ImageManifest = z.output<typeof manifestDocument>;
export type ImageIndex = z.output<typeof indexDocument>;
export type ImageConfigDocument = z.output<typeof configDocument>;

export const indexTypes = ["application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json"];
export const manifestTypes = ["application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json"];

/** An index or a manifest, told apart by what it holds. @throws WireError when it is neither */
export function parseManifest(bytes: Uint8Array): { kind: "index"; index: ImageIndex } | { kind: "manifest"; manifest: ImageManifest } {
  const value = parseJson(bytes, "image manifest");
  if (typeof value === "object" && value !== null && "manifests" in value)
    return { kind: "index", index: checked(indexDocument, value, "image index") };
  return { kind: "manifest", manifest: checked(manifestDocument, value, "image manifest") };
}

/** @throws WireError */
export function parseImageConfig(bytes: Uint8Array): ImageConfigDocument {
  return checked(configDocument, parseJson(bytes, "image configuration"), "image configuration");
}

/** The manifest for this machine: same system and processor, the plain variant before others. */
export function choosePlatform(index: ImageIndex, architecture: NodeJS.Architecture): Descriptor | undefined {
  const wanted = architecture === "x64" ? "amd64" : architecture;
  const fitting = index.manifests.filter((entry) => entry.platform?.os === "linux" && entry.platform.architecture === wanted);
  return fitting.find((entry) => entry.platform?.variant === undefined || entry.platform.variant === "v8") ?? fitting[0];
}

/** `linux/amd64` and so on, for saying what an image has instead. */
export function platformsOf(index: ImageIndex): string[] {
  return index.manifests.flatMap((entry) =>
    entry.platform === undefined || entry.platform.os === "unknown" ? [] : [`${entry.platform.os}/${entry.platform.architecture}`],
  );
}

/** How a layer is packed. @throws WireError on a kind that is not unpacked here */
export function compressionOf(mediaType: string): "none" | "gzip" | "zstd" {
  if (mediaType.endsWith(".tar")) return "none";
  if (/[.+]gzip$/.test(mediaType)) return "gzip";
  if (mediaType.endsWith("+zstd")) return "zstd";
  throw new WireError("image manifest", `layers of type ${mediaType} cannot be unpacked`);
}

function parseJson(bytes: Uint8Array, what: string): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (error) {
    throw new WireError(what, `no JSON: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function checked<T extends z.ZodType>(schema: T, value: unknown, what: string): z.output<T> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  throw new WireError(what, `${issue?.path.join(".") ?? ""}: ${issue?.message ?? "invalid"}`);
}
