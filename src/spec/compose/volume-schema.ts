import { z } from "zod";
import { readTmpfs, tmpfsForm } from "../flags.ts";
import { type NodeTmpfs, nodeTmpfs } from "../node.ts";
import { present } from "./context.ts";
import { bytesText, flag, numeric, refused } from "./values.ts";

/** A volume as a guest asks for it. Relative sources are still relative. */
export type VolumeWish = SourceWish | { type: "tmpfs"; tmpfs: NodeTmpfs };

export type SourceWish = {
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
    type: z.enum(["bind", "volume", "disk", "tmpfs"]).optional(),
    source: z.string().min(1).max(4096).optional(),
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
    /** Docker compose has size and mode here. */
    tmpfs: z
      .strictObject({
        size: bytesText.optional(),
        mode: nodeTmpfs.shape.mode,
        uid: numeric(nodeTmpfs.shape.uid.unwrap()).optional(),
        gid: numeric(nodeTmpfs.shape.gid.unwrap()).optional(),
        exec: flag.optional(),
      })
      .optional(),
  })
  .transform((long, context): VolumeWish =>
    refused(context, (wrong) => {
      const readOnly = long.read_only ?? long.readOnly ?? false;
      if (long.type === "tmpfs") {
        if (long.target === undefined) throw wrong("has no target, the path in the guest");
        if (long.source !== undefined) throw wrong("a tmpfs has no source: it is empty at each start");
        return {
          type: "tmpfs",
          tmpfs: { ...present(long.tmpfs ?? {}), target: clean(long.target), readOnly, exec: long.tmpfs?.exec ?? false },
        };
      }
      if (long.source === undefined) throw wrong("has no source");
      if (long.tmpfs !== undefined) throw wrong("tmpfs is for type tmpfs");
      const type = long.type ?? kindOf(long.source);
      if (long.target === undefined && type !== "disk") throw wrong("has no target, the path in the guest");
      return {
        type,
        source: long.source,
        ...(long.target === undefined ? {} : { target: clean(long.target) }),
        readOnly,
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

/** One of `tmpfs`: a path, and options after a colon. */
export const tmpfsEntry = z
  .string()
  .max(8192)
  .transform((text, context): NodeTmpfs =>
    refused(context, (wrong) => {
      const tmpfs = readTmpfs(text, (problem) => wrong(`"${text}": ${problem}; write ${tmpfsForm}`));
      return { ...tmpfs, target: clean(tmpfs.target) };
    }),
  );

function kindOf(source: string): SourceWish["type"] {
  if (source.startsWith("/dev/")) return "disk";
  return /^[.~]|\//.test(source) ? "bind" : "volume";
}

/** One way to write a path: no "//", no "/" at the end. */
function clean(path: string): string {
  return path.replace(/\/+/g, "/").replace(/(.)\/$/, "$1");
}
