import { z } from "zod";
import { isFault, parseName } from "../base/names.ts";
import { defaultPlaces, type Places, type Surroundings } from "./places.ts";
import { rootfsAddress, rootfsText } from "./rootfs.ts";
import { ifNameText, ipText, prefixText } from "./text.ts";

const absolutePath = z
  .string()
  .max(4000)
  .regex(/^\/[^\0]*$/, "must be a path that starts with /");

const dnsDomain = z
  .string()
  .max(200)
  .refine((text) => text.split(".").every((label) => !isFault(parseName(label))), {
    message: "is no domain: labels of lower-case letters, digits and -, with dots between",
  });

/** The default network: bridge, subnet and resolvers. */
const networkBlock = z.strictObject({
  bridge_name: ifNameText.prefault("nexus0"),
  /** "auto" takes a free /24 of 172.16.0.0/12. */
  subnet: z.union([z.literal("auto"), prefixText]).prefault("10.0.42.0/24"),
  /** Upstream resolvers of this network; by default those of `dns`, or the host's own. */
  dns_servers: z.array(ipText).max(8).default([]),
});

/** nexus.yaml. Every key has a default, so no file is needed. */
export const config = z.strictObject({
  network: networkBlock.prefault({}),
  /** What must outlive a reboot. */
  state_dir: absolutePath.optional(),
  /** What ends with a reboot: sockets and the guests' run-time files. */
  run_dir: absolutePath.optional(),
  /** The API's unix socket; at most 107 bytes (unix(7)). */
  socket: absolutePath
    .refine((path) => Buffer.byteLength(path) <= 107, { message: "has more than the 107 bytes of a socket's path" })
    .optional(),
  /** Whose members may use the socket. */
  socket_group: z
    .string()
    .regex(/^[a-z_][a-z0-9_-]{0,31}$/, "is no group's name")
    .default("nexus"),
  /** A file like /etc/hosts into which names of guests are written for this host's programs; "off" for none. */
  hosts_file: z.union([z.literal("off"), absolutePath]).default("off"),
  log_level: z.enum(["debug", "info", "warn", "error"]).default("info"),
  dns: z
    .strictObject({
      /** Resolvers for names we do not serve; by default the host's own. */
      upstreams: z.array(ipText).max(8).default([]),
      /** The domain of all guests: `<guest>.<network>.<domain>`. */
      domain: dnsDomain.default("nexus"),
    })
    .prefault({}),
  sandbox: z
    .strictObject({
      /** The root file system of untrusted commands: "host" for the host's own programs, a directory, an archive, URL#sha256:DIGITS, or "auto". */
      rootfs: rootfsText.default("host"),
      /** What "auto" is on x86-64, and on arm64: URL#sha256:DIGITS. */
      rootfs_amd64: rootfsAddress.default("none"),
      rootfs_arm64: rootfsAddress.default("none"),
    })
    .prefault({}),
});

export type Config = z.output<typeof config>;

/** What holds without a file: bridge nexus0 with 10.0.42.0/24. */
export function defaultConfig(): Config {
  return config.parse({});
}

/** Where a config file is looked for when none is named; the first that exists is read. */
export function configFiles({ uid, env }: Surroundings): string[] {
  const home = env["XDG_CONFIG_HOME"] ?? (env["HOME"] === undefined ? undefined : `${env["HOME"]}/.config`);
  const system = "/etc/nexus/nexus.yaml";
  if (home === undefined) return [system];
  const own = `${home}/nexus/nexus.yaml`;
  return uid === 0 ? [system, own] : [own, system];
}

/** Where state, sockets, run-time files and caches are: as configured, else the defaults for root or a user. */
export function placesOf(settings: Pick<Config, "state_dir" | "run_dir" | "socket">, surroundings: Surroundings): Places {
  const usual = defaultPlaces(surroundings);
  const runDir = settings.run_dir ?? usual.runDir;
  return {
    stateDir: settings.state_dir ?? usual.stateDir,
    runDir,
    cacheDir: usual.cacheDir,
    socket: settings.socket ?? `${runDir}/nexusd.sock`,
  };
}
