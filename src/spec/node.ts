import { z } from "zod";
import { keptEgress } from "./egress-wish.ts";
import { healthSpec } from "./health.ts";
import { labelSet } from "./labels.ts";
import { absolutePath, volumeSource } from "./paths.ts";
import { restartPolicy } from "./restart-policy.ts";
import { ipText, ipv4Text, ipv6Text, nameText, portNumber } from "./text.ts";

/** A network to attach to, and the addresses wanted there. */
export const networkRef = z.strictObject({
  network: nameText,
  address: ipv4Text.optional(),
  address6: ipv6Text.optional(),
  /** Narrows the network's own: where both have one, both must allow. */
  egress: keptEgress,
});

export type NetworkRef = z.output<typeof networkRef>;

/** A host port forwarded to a guest. A range keeps its width: host 10000-10010 to guest 20000-20010. */
export const publishSpec = z
  .strictObject({
    protocol: z.enum(["tcp", "udp"]).default("tcp"),
    /** The host address it listens on; absent means every address, 127.0.0.1 means this host only. */
    hostAddress: ipText.optional(),
    hostPort: portNumber,
    hostPortEnd: portNumber.optional(),
    guestPort: portNumber,
  })
  .refine((p) => p.hostPortEnd === undefined || p.hostPortEnd >= p.hostPort, {
    message: "the range ends before it starts",
    path: ["hostPortEnd"],
  })
  .refine((p) => p.hostPortEnd === undefined || p.guestPort + (p.hostPortEnd - p.hostPort) <= 65535, {
    message: "the guest's range would pass port 65535",
    path: ["guestPort"],
  });

export type PublishSpec = z.output<typeof publishSpec>;

const environmentName = z
  .string()
  .regex(/^[A-Za-z_][A-Za-z0-9_]*$/, "a variable name has letters, digits and _, and does not start with a digit");

/** A directory or file of the host, or a volume by its name, and where the node sees it. */
export const nodeVolume = z.strictObject({
  source: volumeSource,
  target: absolutePath.refine((path) => path !== "/", "a volume cannot take the place of the root directory"),
  readOnly: z.boolean().default(false),
});
export type NodeVolume = z.output<typeof nodeVolume>;

const owner = z.number().int().min(0).max(4294967294);

/** A directory in memory that is empty at each start; what is in it counts as the node's memory. See tmpfs(5). */
export const nodeTmpfs = z.strictObject({
  target: nodeVolume.shape.target,
  /** Bytes it may hold; half of the host's memory unless told. */
  size: z.number().int().min(4096).max(Number.MAX_SAFE_INTEGER).optional(),
  /** Octal digits; 1777 unless told. */
  mode: z
    .string()
    .regex(/^[0-7]{3,4}$/, 'a mode is three or four octal digits in quotes: "1777"')
    .optional(),
  uid: owner.optional(),
  gid: owner.optional(),
  readOnly: z.boolean().default(false),
  /** Whether programs in it can be run. */
  exec: z.boolean().default(false),
});
export type NodeTmpfs = z.output<typeof nodeTmpfs>;

/** What a user asks of a container node. */
export const nodeSpec = z.strictObject({
  name: nameText,
  /** `mini` (busybox, built in), a directory, or an image reference. */
  image: z.string().min(1).max(512).default("mini"),
  command: z.array(z.string().max(131072)).max(1024).default([]),
  env: z.record(environmentName, z.string().max(131072)).default({}),
  /** MiB. */
  mem: z
    .number()
    .int()
    .min(4)
    .max(16 * 1024 * 1024)
    .optional(),
  /** Weight on the shares scale, 1024 being one share (cgroup v1 cpu.shares). */
  cpu: z.number().int().min(2).max(262144).optional(),
  /** Processors' worth of time at the most. */
  cpus: z.number().min(0.01).max(4096).optional(),
  pids: z.number().int().min(1).max(4194304).optional(),
  networks: z.array(networkRef).max(16).optional(),
  publish: z.array(publishSpec).max(1024).default([]),
  restart: restartPolicy.default("no"),
  hostname: nameText.optional(),
  /** Resolvers for this node instead of its network's. */
  dns: z.array(ipText).max(3).optional(),
  volumes: z.array(nodeVolume).max(256).default([]),
  tmpfs: z.array(nodeTmpfs).max(64).optional(),
  /** Further names it has in DNS on each of its networks. */
  aliases: z.array(nameText).max(32).default([]),
  health: healthSpec.optional(),
  labels: labelSet.default({}),
});

export type NodeSpecInput = z.input<typeof nodeSpec>;
export type NodeSpec = z.output<typeof nodeSpec>;

/** A network namespace with networks but no process of ours: for programs that run their own guests. */
export const attachmentSpec = z.strictObject({
  name: nameText,
  networks: z.array(networkRef).min(1).max(16).optional(),
  publish: z.array(publishSpec).max(1024).default([]),
});
export type AttachmentSpec = z.output<typeof attachmentSpec>;
