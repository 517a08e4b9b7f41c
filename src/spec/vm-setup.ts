import { z } from "zod";

/** Text of all scripts and files together; the daemon keeps it with the guest, and writes it anew at each start. */
const largestTextBytes = 512 * 1024;

const guestPath = z
  .string()
  .max(4096)
  .regex(/^\/[^\p{Cc}]*[^\p{Cc}/]$/u, "a path in the guest begins with / and names something")
  .refine((path) => !path.split("/").includes(".."), "a path in the guest has no ..");

/** A line of authorized_keys; options may stand before the key (sshd(8), AUTHORIZED_KEYS FILE FORMAT). */
const publicKey = z
  .string()
  .max(16_384)
  .regex(
    /^\P{Cc}*?\b(ssh-(ed25519|rsa)|ecdsa-sha2-[a-z0-9]+|sk-(ssh-ed25519|ecdsa-sha2-nistp256)@openssh\.com) [A-Za-z0-9+/]{20,}={0,2}( \P{Cc}*)?$/u,
    "is no public SSH key like ssh-ed25519 AAAA… name",
  );

const provisionStep = z.discriminatedUnion("kind", [
  /** For `sh -e`, or for what its first line names (`#!`). */
  z.strictObject({
    kind: z.literal("shell"),
    script: z.string().regex(/^[^\0]*\S[^\0]*$/, "a script is not empty, and has no NUL"),
  }),
  z.strictObject({
    kind: z.literal("file"),
    target: guestPath,
    content: z.string(),
    mode: z
      .string()
      .regex(/^[0-7]{3,4}$/, 'a mode is three or four octal digits: "0644"')
      .default("0644"),
  }),
]);
export type ProvisionStep = z.output<typeof provisionStep>;

const mount = z.strictObject({
  /** The name of one of the machine's disks or shares. A disk that has no file system, and is not read-only, gets one first. */
  from: z.union([z.strictObject({ disk: z.string().min(1).max(20) }), z.strictObject({ share: z.string().min(1).max(31) })]),
  target: guestPath,
  readOnly: z.boolean().default(false),
  /** Further ones of mount(8), with commas between. */
  options: z
    .string()
    .max(256)
    .regex(/^[A-Za-z0-9=.,:_/+-]+$/, "mount options are words with commas between")
    .optional(),
});
export type VmMount = z.output<typeof mount>;

/**
 * What a virtual machine is set up with: by cloud-init at the first boot of an image that has a disk, by `mini` itself after each boot.
 * mini has no users to log in, no packages and no cloud-init.
 */
export const vmSetup = z
  .strictObject({
    /** Who gets the keys, and sudo; by default the image's own user. */
    user: z
      .string()
      .regex(/^[a-z_][a-z0-9_-]{0,30}$/, "is no user name")
      .refine((name) => name !== "root", "root does not log in: leave it out, or choose another name")
      .optional(),
    authorizedKeys: z.array(publicKey).max(64).default([]),
    /** Any form cloud-init reads. Where it and Nexus say something of the same, its word holds; lists are joined. */
    userData: z
      .string()
      .min(1)
      .max(256 * 1024)
      .optional(),
    packages: z
      .array(z.string().regex(/^[A-Za-z0-9][A-Za-z0-9+._:=~*-]{0,199}$/, "is no package's name"))
      .max(256)
      .default([]),
    /** Done in this order, after all else; the first step that fails ends it. */
    provision: z.array(provisionStep).max(256).default([]),
    mounts: z.array(mount).max(32).default([]),
    /** Installs the guest's agent where the image has none; without it nobody learns how the set-up went. */
    agent: z.boolean().default(true),
  })
  .superRefine((setup, context) => {
    const bytes = setup.provision.reduce((sum, step) => sum + Buffer.byteLength(step.kind === "shell" ? step.script : step.content), 0);
    if (bytes > largestTextBytes)
      context.addIssue({ code: "custom", path: ["provision"], message: `has ${bytes} bytes of text; at most ${largestTextBytes}` });
    const targets = setup.mounts.map((one) => one.target);
    targets.forEach((target, i) => {
      if (targets.indexOf(target) !== i)
        context.addIssue({ code: "custom", path: ["mounts", i, "target"], message: `something is mounted at ${target} already` });
    });
  });

export type VmSetup = z.output<typeof vmSetup>;

/** Whether anything of it is done in the guest that somebody may wait for. */
export function hasWork({ userData, packages, provision, mounts }: VmSetup): boolean {
  return userData !== undefined || packages.length + provision.length + mounts.length > 0;
}

/** Ends the keys that Nexus adds by itself. Whose they are is no part of what was asked. */
export const ownKeyComment = "added-by-nexus";

/** The set-up as it was asked for: two users who bring up one project have different keys, and mean the same machine. */
export function withoutOwnKeys(setup: VmSetup): VmSetup {
  return { ...setup, authorizedKeys: setup.authorizedKeys.filter((line) => !line.endsWith(` ${ownKeyComment}`)) };
}
