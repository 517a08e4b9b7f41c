import { z } from "zod";
import { labelSet } from "../labels.ts";
import { networkSpec } from "../network.ts";
import { ipText, nameText, prefixText } from "../text.ts";
import { bytesText, flag, numeric } from "./values.ts";

const spec = networkSpec.shape;

/** A network as a compose file writes it: the daemon's keys, and `subnet` with `gateway` for the common case of one. */
export const networkEntry = z.strictObject({
  /** What it is called on this host, instead of PROJECT-NAME. */
  name: nameText.optional(),
  /** It is there already and stays. */
  external: flag.default(false),
  driver: z.literal("bridge").optional(),
  subnet: z.union([z.literal("auto"), prefixText]).optional(),
  gateway: ipText.optional(),
  subnets: spec.subnets.unwrap().optional(),
  bridge: spec.bridge,
  ipv6: flag.default(false),
  mtu: z.union([z.literal("auto"), numeric(z.number().int().min(1280).max(65535))]).default("auto"),
  dns: spec.dns,
  nat: flag.default(true),
  isolation: spec.isolation,
  internal: flag.default(false),
  dhcp: flag.default(true),
  /** Networks of this file. */
  peers: z.array(z.string()).max(256).default([]),
  egress: spec.egress,
  labels: labelSet.default({}),
});
export type NetworkEntry = z.output<typeof networkEntry>;

/** A volume that outlives guests: a directory for nodes, a disk for virtual machines. */
export const volumeDefinition = z.strictObject({
  name: nameText.optional(),
  external: flag.default(false),
  driver: z.literal("local").optional(),
  /** Of the disk a virtual machine gets; 10G unless told. */
  size: bytesText.optional(),
});
export type VolumeDefinition = z.output<typeof volumeDefinition>;
