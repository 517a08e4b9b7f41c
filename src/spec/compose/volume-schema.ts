import { z } from "zod";
import { flag, refused } from "./values.ts";

/** A volume as a guest asks for it. Relative sources are still relative. */
export type VolumeWish = {
  type: "bind" | "volume" | "disk";
  source: string;
  /** Absent for a disk the guest mounts by itself. */
  target?: string;
  readOnly: boolean;
  automount: boolean;
  mountOptions?: string;
  format: "raw" | "qcow2";
};

const guestPath = z
  .string()
  .max(4096)
  .regex(/^\/[^\0]*$/, "the path in the guest begins with /");

const form = "write NAME:/path, ./dir:/path or /dev/sdb, with :ro at the end when it is read only";

const longForm = z
  .strictObject({
    type: z.enum(["bind", "volume", "disk"]).optional(),
    source: z.string().min(1).max(4096),
    target: guestPath.optional(),
    read_only: flag.optional(),
    readOnly: flag.optional(),
    automount: flag.default(true),
    /** Words for mount(8)'s -o in the guest. */
    mount_options: z
      .string()
      .max(256)
      .regex(/^[\x21-\x7e]*$/, "mount options are words with commas, no spaces")
      .optional(),
    format: z.enum(["raw", "qcow2"]).optional(),
  })
  .transform((long, context): VolumeWish =>
    refused(context, (wrong) => {
      const type = long.type ?? kindOf(long.source);
      if (long.target === undefined && type !== "disk") throw wrong("has no target, the path in the guest");
      return {
        type,
        source: long.source,
        ...(long.target === undefined ? {} : { target: clean(long.target) }),
        readOnly: long.read_only ?? long.readOnly ?? false,
        automount: long.automount,
        ...(long.mount_options === undefined || long.mount_options === "" ? {} : { mountOptions: long.mount_options }),
        format: long.format ?? "raw",
      };
    }),
  );

/** A volume of a guest, short or long. */
export const volumeEntry = z.union([
  z
    .string()
    .max(8192)
    .transform((text, context): VolumeWish =>
      refused(context, (wrong) => {
        const [source = "", target, mode, ...more] = text.split(":");
        const type = kindOf(source);
        if (source === "" || more.length > 0) throw wrong(`"${text}" is no volume; ${form}`);
        if (target === undefined && (type !== "disk" || text.includes(":")))
          throw wrong(`"${text}" says not where the guest sees it; ${form}`);
        if (target !== undefined && !guestPath.safeParse(target).success) throw wrong(`"${target}" does not begin with /; ${form}`);
        if (mode !== undefined && mode !== "ro" && mode !== "rw") throw wrong(`"${mode}" is no mode; it is ro or rw`);
        return {
          type,
          source,
          ...(target === undefined ? {} : { target: clean(target) }),
          readOnly: mode === "ro",
          automount: true,
          format: "raw",
        };
      }),
    ),
  longForm,
]);

function kindOf(source: string): VolumeWish["type"] {
  if (source.startsWith("/dev/")) return "disk";
  return /^[.~]|\//.test(source) ? "bind" : "volume";
}

/** One way to write a path: no "//", no "/" at the end. */
function clean(path: string): string {
  return path.replace(/\/+/g, "/").replace(/(.)\/$/, "$1");
}
