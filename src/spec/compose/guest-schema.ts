import { z } from "zod";
import { keptEgress } from "../egress-wish.ts";
import { labelSet } from "../labels.ts";
import { nodeSpec } from "../node.ts";
import { restartPolicy } from "../restart-policy.ts";
import { ipText, ipv4Text, ipv6Text, macText, nameText } from "../text.ts";
import { vmSpec } from "../vm.ts";
import { healthcheck } from "./health-schema.ts";
import { portEntry } from "./port-schema.ts";
import { bytesText, durationText, flag, memoryText, numeric, refused } from "./values.ts";
import { tmpfsEntry, volumeEntry } from "./volume-schema.ts";

/** Guests as a compose file writes them, after guestTree has given every key its first name. */

const attachment = z
  .strictObject({
    address: ipv4Text.optional(),
    ipv4_address: ipv4Text.optional(),
    address6: ipv6Text.optional(),
    ipv6_address: ipv6Text.optional(),
    mac: macText.optional(),
    mac_address: macText.optional(),
    aliases: z.array(nameText).max(32).default([]),
    queues: numeric(vmSpec.shape.queues.unwrap()).optional(),
    egress: keptEgress,
  })
  .transform(({ address, ipv4_address, address6, ipv6_address, mac, mac_address, ...rest }) => ({
    ...rest,
    address: address ?? ipv4_address,
    address6: address6 ?? ipv6_address,
    mac: mac ?? mac_address,
  }));

/** One network a guest is on. */
export type AttachmentWish = z.output<typeof attachment>;

const conditions = {
  started: "started",
  service_started: "started",
  healthy: "healthy",
  service_healthy: "healthy",
  completed: "completed",
  service_completed_successfully: "completed",
} as const;

export type Condition = (typeof conditions)[keyof typeof conditions];

const dependency = z.strictObject({
  condition: z
    .enum(Object.keys(conditions) as (keyof typeof conditions)[])
    .default("started")
    .transform((word): Condition => conditions[word]),
  required: flag.default(true),
});

const envFile = z.union([
  z
    .string()
    .min(1)
    .max(4096)
    .transform((path) => ({ path, required: true })),
  z.strictObject({ path: z.string().min(1).max(4096), required: flag.default(true) }),
]);

const profileName = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$/, "a profile has letters, digits, _, . and -");

const environment = z.record(
  z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, "a variable name has letters, digits and _, and does not start with a digit"),
  z.string().max(131072),
);

const shared = {
  hostname: nameText.optional(),
  dns: z.array(ipText).max(3).optional(),
  environment: environment.default({}),
  env_file: z.array(envFile).max(64).default([]),
  networks: z.record(z.string(), attachment).optional(),
  ports: z.array(portEntry).max(1024).default([]),
  volumes: z.array(volumeEntry).max(256).default([]),
  depends_on: z.record(z.string(), dependency).default({}),
  healthcheck: healthcheck.optional(),
  restart: restartPolicy.optional(),
  profiles: z.array(profileName).max(64).default([]),
  labels: labelSet.default({}),
  aliases: z.array(nameText).max(32).default([]),
  stop_grace_period: durationText.optional(),
};

const { environment: variables, env_file, depends_on, profiles, labels, stop_grace_period } = shared;

/** What a sandboxed run has too. */
export const common = { environment: variables, env_file, depends_on, profiles, labels, stop_grace_period };

/** Text on the spot or from a file of the host. */
const provisionStep = z
  .strictObject({
    type: z.enum(["shell", "file"]).default("shell"),
    inline: z.union([z.string(), z.array(z.string())]).optional(),
    script: z.string().min(1).max(4096).optional(),
    path: z.string().min(1).max(4096).optional(),
    source: z.string().min(1).max(4096).optional(),
    content: z.string().optional(),
    target: z
      .string()
      .max(4096)
      .regex(/^\/[^\0]*[^/\0]$/, "the path in the guest begins with / and is no directory")
      .optional(),
    mode: z
      .string()
      .regex(/^0?[0-7]{3}$/, 'a mode is three octal digits in quotes: "0644"')
      .optional(),
  })
  .transform((step, context): ProvisionWish =>
    refused(context, (wrong) => {
      if (step.type === "file") {
        const from = step.source ?? step.path;
        if (step.target === undefined) throw wrong("has no target, the path in the guest");
        if (step.inline !== undefined || step.script !== undefined)
          throw wrong("a file has source or content; inline and script are for shell");
        if ((from === undefined) === (step.content === undefined)) throw wrong("needs one of source and content");
        const mode = (step.mode ?? "0644").padStart(4, "0");
        return { kind: "file", target: step.target, mode, ...(from === undefined ? { content: step.content ?? "" } : { from }) };
      }
      const from = step.script ?? step.path;
      if (step.target !== undefined || step.content !== undefined || step.source !== undefined || step.mode !== undefined)
        throw wrong("target, content, source and mode are for type file");
      if ((from === undefined) === (step.inline === undefined)) throw wrong("needs one of inline and script");
      return from === undefined
        ? { kind: "shell", script: Array.isArray(step.inline) ? step.inline.join("\n") : (step.inline ?? "") }
        : { kind: "shell", from };
    }),
  );

export type ProvisionWish =
  | ({ kind: "shell" } & ({ script: string } | { from: string }))
  | ({ kind: "file"; target: string; mode: string } & ({ content: string } | { from: string }));

const path = z
  .string()
  .min(1)
  .max(4096)
  .regex(/^[^\0]*$/, "a path has no NUL");

export const vmEntry = z.strictObject({
  image: vmSpec.shape.image,
  cpus: numeric(vmSpec.shape.cpus.unwrap()).optional(),
  memory: memoryText.optional(),
  disk: z.union([bytesText, z.strictObject({ size: bytesText })]).optional(),
  ...shared,
  provision: z.array(provisionStep).max(256).default([]),
  cloud_init: z
    .strictObject({
      user_data: z.string().optional(),
      packages: z.array(z.string().regex(/^[A-Za-z0-9][A-Za-z0-9+.:~=-]*$/, "is no package's name")).default([]),
      ssh_keys: z.array(z.string().regex(/^[a-z0-9@.-]+ [A-Za-z0-9+/=]+( .*)?$/, "is no public SSH key")).default([]),
    })
    .optional(),
  user_data: z.string().optional(),
  ssh: z
    .strictObject({
      user: z
        .string()
        .regex(/^[a-z_][a-z0-9_-]{0,31}$/, "is no user's name")
        .optional(),
      port: numeric(z.number().int().min(1).max(65535)).optional(),
    })
    .optional(),
  machine: vmSpec.shape.machine,
  uefi: flag.default(false),
  accel: vmSpec.shape.accel,
  kernel: path.optional(),
  initrd: path.optional(),
  cmdline: vmSpec.shape.cmdline,
  queues: numeric(vmSpec.shape.queues.unwrap()).optional(),
});
export type VmEntry = z.output<typeof vmEntry>;

export const nodeEntry = z.strictObject({
  image: nodeSpec.shape.image,
  /** A list is taken as it is; text is split at spaces, with quotes as in a shell. */
  command: z.union([z.string(), z.array(z.string())]).optional(),
  memory: memoryText.optional(),
  cpu: numeric(nodeSpec.shape.cpu.unwrap()).optional(),
  cpus: numeric(nodeSpec.shape.cpus.unwrap()).optional(),
  pids: numeric(nodeSpec.shape.pids.unwrap()).optional(),
  tmpfs: z.array(tmpfsEntry).max(64).default([]),
  ...shared,
});
export type NodeEntry = z.output<typeof nodeEntry>;

/** For the schema that editors use: the lists and single values guestTree makes mappings and lists of. */
export function writtenOtherwise(): ReadonlyMap<z.core.$ZodType, Record<string, unknown>> {
  const names = { type: "array", items: { type: "string" } };
  const texts = { anyOf: [names, { type: "object", additionalProperties: { type: ["string", "number", "boolean", "null"] } }] };
  return new Map<z.core.$ZodType, Record<string, unknown>>([
    [shared.environment, texts],
    [shared.labels, texts],
    [shared.depends_on, names],
    [shared.networks, { type: "array", items: { type: ["string", "object"] } }],
    [shared.dns, { type: "string" }],
    [shared.env_file, { type: "string" }],
    [nodeEntry.shape.tmpfs, { type: "string" }],
  ]);
}
