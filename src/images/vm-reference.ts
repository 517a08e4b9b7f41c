import { NexusError } from "../base/errors.ts";
import { unreachable } from "../base/exhaustive.ts";
import { nearest } from "../spec/nearest.ts";
import { type Checksum, formatChecksum, parseChecksum } from "./checksum.ts";
import { aliasNames } from "./vm-aliases.ts";

/** What a text that names a virtual machine's image means. */
export type VmReference =
  | { kind: "mini" }
  | { kind: "alias"; name: string }
  /** `url` has no fragment. */
  | { kind: "url"; url: string; checksum: Checksum | undefined }
  /** Absolute. */
  | { kind: "file"; path: string };

/**
 * Reads `mini`, an alias, `http(s)://…` with its sum as `#sha256:…` or `#sha512:…`, or an absolute path.
 * @throws NexusError `usage` for what can be none of these, `image-missing` for an alias nobody knows
 */
export function parseVmReference(text: string): VmReference {
  if (text === "mini") return { kind: "mini" };
  if (text.startsWith("/")) return { kind: "file", path: text };
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(text)) return parseUrl(text);
  if (aliasNames.includes(text)) return { kind: "alias", name: text };
  if (/^\.{0,2}\/|\.(qcow2|img|raw)$/.test(text))
    throw new NexusError("usage", `"${text}" is no absolute path`, { hint: "give the disk file with its whole path, from / on" });
  const meant = nearest(text, aliasNames);
  throw new NexusError("image-missing", `there is no virtual machine image called ${text.slice(0, 200)}`, {
    hint:
      meant === undefined ? `known are mini, ${aliasNames.join(", ")}; or give a URL or the path of a disk file` : `did you mean ${meant}?`,
  });
}

/** The name under which the store remembers what was fetched. */
export function nameOf(reference: VmReference): string {
  switch (reference.kind) {
    case "mini":
      return "mini";
    case "alias":
      return reference.name;
    case "url":
      return reference.url;
    case "file":
      return reference.path;
    default:
      return unreachable(reference);
  }
}

/** The reference with a checksum that was given beside it. @throws NexusError `usage` when it has another one already, or needs none */
export function withChecksum(reference: VmReference, given: string | undefined): VmReference {
  if (given === undefined) return reference;
  const checksum = parseChecksum(given);
  if (reference.kind !== "url")
    throw new NexusError("usage", "a checksum can only be given for a URL", {
      hint: reference.kind === "alias" ? "an alias takes it from the publisher's list" : undefined,
    });
  if (reference.checksum !== undefined && formatChecksum(reference.checksum) !== formatChecksum(checksum))
    throw new NexusError("usage", `${reference.url} has two different checksums`, { hint: "leave one of them out" });
  return { ...reference, checksum };
}

function parseUrl(text: string): VmReference {
  const shown = text.slice(0, 200);
  const url = URL.parse(text);
  if (url === null || !["http:", "https:"].includes(url.protocol)) throw new NexusError("usage", `"${shown}" is no http or https address`);
  if (url.username !== "" || url.password !== "")
    throw new NexusError("usage", `the address of an image must not have a password in it`, {
      hint: "it would be kept and shown; fetch the file yourself and give its path",
    });
  const fragment = url.hash.slice(1);
  url.hash = "";
  return { kind: "url", url: url.href, checksum: fragment === "" ? undefined : parseChecksum(fragment) };
}
