import { z } from "zod";

const label = "[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?";
const host = `(?:\\[[0-9a-fA-F:]+\\]|${label}(?:\\.${label})*)(?::\\d{1,5})?`;
const part = "[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*";
const tag = "[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}";
const shape = new RegExp(`^(?:${host}/)?${part}(?:/${part})*(?::${tag})?(?:@sha256:[0-9a-f]{64})?$`);

/**
 * `[HOST[:PORT]/]PATH[:TAG][@DIGEST]`: what cannot name an image of any registry is refused here as misspelt, not later as an
 * image that is missing.
 */
export const imageReference = z
  .string()
  .min(1)
  .max(512)
  .regex(shape, { error: ({ input }) => `"${String(input)}" is no image reference like alpine:3.20 or registry.example.org/team/app:1.0` });

/** An image of either kind: as above, or for virtual machines an address, the absolute path of a disk file, or a publisher's short name. */
export const anyImageReference = z
  .string()
  .min(1)
  .max(2048)
  .refine((text) => disk.test(text) || imageReference.safeParse(text).success, {
    error: ({ input }) =>
      `"${String(input)}" is no image reference like alpine:3.20, debian-12, https://example.org/disk.qcow2 or /srv/disk.qcow2`,
  });

const disk = /^(https?:\/\/|\/)[^\s\p{Cc}]+$/iu;

export const imageKind = z.enum(["oci", "vm"]);

/** What an image must hash to. */
export const imageChecksum = z
  .string()
  .regex(/^(sha256:[0-9a-fA-F]{64}|sha512:[0-9a-fA-F]{128})$/, "a checksum is sha256: or sha512: and its digits");
