import { z } from "zod";

/** Where the root file system of untrusted commands is from. `auto` is the address set for this kind of processor. */
export type Rootfs = { kind: "host" } | { kind: "auto" } | { kind: "path"; path: string } | RootfsAddress;

/** An archive, and what it must hash to. `url` has no fragment. */
export type RootfsAddress = { kind: "url"; url: string; checksum: { algorithm: "sha256" | "sha512"; hex: string } };

/** `host`, `auto`, an absolute path, or `URL#sha256:DIGITS`; what is wrong with it instead, as text. */
export function readRootfs(text: string): Rootfs | string {
  if (text === "host" || text === "auto") return { kind: text };
  if (/^\/[^\0]*$/.test(text)) return { kind: "path", path: text };
  if (text.includes("://")) return readAddress(text);
  return "must be host, auto, a path that starts with /, or an address with its sum: URL#sha256:DIGITS";
}

function readAddress(text: string): RootfsAddress | string {
  const url = URL.parse(text);
  if (url === null || !["http:", "https:"].includes(url.protocol)) return "is no http or https address";
  if (url.username !== "" || url.password !== "")
    return "must not have a password in it, which would be kept and shown: fetch the archive yourself, and give its path";
  const [, algorithm, hex = ""] = /^#(sha256|sha512):([0-9a-f]*)$/i.exec(url.hash) ?? [];
  if (algorithm === undefined) return "needs the sum its archive must have: URL#sha256:DIGITS";
  const sum =
    algorithm.toLowerCase() === "sha256" ? ({ algorithm: "sha256", digits: 64 } as const) : ({ algorithm: "sha512", digits: 128 } as const);
  if (hex.length !== sum.digits) return `has a ${sum.algorithm} of ${hex.length} hexadecimal digits, where it has ${sum.digits}`;
  url.hash = "";
  return { kind: "url", url: url.href, checksum: { algorithm: sum.algorithm, hex: hex.toLowerCase() } };
}

const text = z.string().max(4096);

/** As text; what it means is read by `readRootfs` where it is used. */
export const rootfsText = text.superRefine((given, context) => {
  const read = readRootfs(given);
  if (typeof read === "string") context.addIssue({ code: "custom", message: read });
});

/** What `auto` stands for. */
export const rootfsAddress = text.superRefine((given, context) => {
  const read = given === "none" ? undefined : readRootfs(given);
  if (typeof read === "string" || (read !== undefined && read.kind !== "url"))
    context.addIssue({
      code: "custom",
      message: typeof read === "string" && given.includes("://") ? read : "must be an address with its sum, URL#sha256:DIGITS, or none",
    });
});
