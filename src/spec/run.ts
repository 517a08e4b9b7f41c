import { z } from "zod";
import { labelSet } from "./labels.ts";
import { volumeSource } from "./paths.ts";
import { ranged } from "./ranged.ts";
import { rootfsText } from "./rootfs.ts";
import { sizeText } from "./vm.ts";

/** How far a command is trusted; each has its own ways of being held. A run is never moved to another one. */
export const runProfile = z.enum(["untrusted", "trusted", "host", "darwin-automation"]);
export type RunProfile = z.output<typeof runProfile>;

const word = z
  .string()
  .max(131_071)
  .regex(/^[^\0]*$/, "a word cannot hold a zero byte");

const environment = z.record(
  z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, "a variable name has letters, digits and _, and does not start with a digit"),
  word,
);

/** Beyond it the kernel may refuse to start the command (execve(2), E2BIG), and a request no longer fits its frame. */
const mostWordBytes = 512 * 1024;

/** Where it may connect to. Without a mode: the names that are allowed, and nowhere when there are none. */
export const runNet = z.strictObject({
  mode: z.enum(["none", "allowlist", "unrestricted", "host"]).optional(),
  allow: z.array(z.string().min(1).max(300)).max(1024).default([]),
});

const minute = 60_000;

const runSize = sizeText.refine((bytes) => bytes <= 16 * 1024 ** 4, "must be at most 16T");

/** What a user asks of one sandboxed command. All limits have a value: a run without limits does not exist. */
export const runSpec = z
  .strictObject({
    command: z.array(word).min(1).max(4096),
    profile: runProfile.default("untrusted"),
    /** What holds it; by default the best of its profile. */
    driver: z.string().min(1).max(64).optional(),
    /** Of the trusted profile, the root file system it runs on: `mini`, a directory, or an image reference. */
    image: z.string().min(1).max(512).optional(),
    /** Of the untrusted one, in place of the daemon's setting: `host`, `auto`, a path, or `URL#sha256:DIGITS`. */
    rootfs: rootfsText.optional(),
    net: runNet.prefault({}),
    /** Where it works: a facility by its name, or a directory of the host. Without one it has none. */
    facility: volumeSource.optional(),
    /** Inside the facility. */
    cwd: z
      .string()
      .min(1)
      .max(4096)
      .regex(/^[^\0]*$/, "a path cannot hold a zero byte")
      .optional(),
    env: environment.default({}),
    /** Milliseconds until it is asked to end. */
    timeoutMs: ranged(z.number().int(), { least: 1, most: 7 * 24 * 60 * minute, said: "1ms to 7d" }).default(5 * minute),
    /** Milliseconds between asking it to end and killing all of it. */
    graceMs: ranged(z.number().int(), { least: 0, most: 5 * minute, said: "0s to 5m" }).default(3000),
    /** MiB. */
    mem: ranged(z.number().int(), { least: 4, most: 16 * 1024 * 1024, said: "4 MiB to 16 TiB" }).default(512),
    cpus: ranged(z.number(), { least: 0.01, most: 4096, said: "0.01 to 4096 processors" }).default(1),
    pids: ranged(z.number().int(), { least: 1, most: 4_194_304, said: "1 to 4194304 processes" }).default(256),
    /** Of what it writes outside its facility. */
    disk: runSize.prefault("1G"),
    /** Of each of its outputs, shown and kept; beyond it the middle is counted and dropped. */
    outputLimit: runSize.prefault("2M"),
    terminal: z.strictObject({ columns: z.number().int().min(1).max(65535), rows: z.number().int().min(1).max(65535) }).optional(),
    labels: labelSet.default({}),
  })
  .superRefine((run, context) => {
    const fault = (path: PropertyKey[], message: string): void => context.addIssue({ code: "custom", path, message });
    if (run.command[0] === "") fault(["command"], "has an empty word in place of a program");
    const bytes = bytesOf(run.command) + bytesOf(Object.entries(run.env).map(([key, value]) => `${key}=${value}`));
    if (bytes > mostWordBytes)
      fault(
        [bytesOf(run.command) > mostWordBytes ? "command" : "env"],
        `the command and its environment have ${bytes} bytes; at most ${mostWordBytes}, more belongs in a file or on its input`,
      );
    if (run.image !== undefined && run.profile !== "trusted")
      fault(
        ["image"],
        `profile ${run.profile} runs on no image: profile trusted does${run.profile === "untrusted" ? ", and untrusted has a rootfs" : ""}`,
      );
    if (run.rootfs !== undefined && run.profile !== "untrusted")
      fault(
        ["rootfs"],
        `profile ${run.profile} has none to choose: profile untrusted has${run.profile === "trusted" ? ", and trusted has an image" : ""}`,
      );
    else if (run.rootfs !== undefined && run.driver === "qemu")
      fault(["rootfs"], "a virtual machine brings one of its own: leave it out, or take driver bubblewrap");
    const { mode, allow } = run.net;
    if (mode !== undefined && mode !== "allowlist" && allow.length > 0)
      fault(["net", "allow"], `has no effect with mode ${mode}: leave one of them out`);
    if (run.profile === "untrusted" && mode === "host")
      fault(["net", "mode"], "profile untrusted never has the host's network: unrestricted lets it reach every public name");
    if (run.profile === "host" && (mode === "allowlist" || allow.length > 0))
      fault(["net", "allow"], "profile host has no network of its own to watch: profile untrusted has");
    if (run.profile === "host" && (mode === "none" || mode === "unrestricted"))
      fault(["net", "mode"], "profile host has the host's network, and cannot be kept from it: profile untrusted can");
  });

export type RunSpecInput = z.input<typeof runSpec>;
export type RunSpec = z.output<typeof runSpec>;

/** The mode that holds. */
export function netModeOf({ net, profile }: Pick<RunSpec, "net" | "profile">): "none" | "allowlist" | "unrestricted" | "host" {
  if (profile === "host" || profile === "darwin-automation") return "host";
  return net.mode ?? (net.allow.length > 0 ? "allowlist" : "none");
}

function bytesOf(words: readonly string[]): number {
  return words.reduce((sum, text) => sum + Buffer.byteLength(text) + 1, 0);
}
