import { z } from "zod";
import { isUnicastMac } from "../base/mac.ts";
import { healthSpec } from "./health.ts";
import { labelSet } from "./labels.ts";
import { networkRef, publishSpec } from "./node.ts";
import { ownDisks } from "./own-disks.ts";
import { absolutePath, volumeSource } from "./paths.ts";
import { restartPolicy } from "./restart-policy.ts";
import { ipText, macText, nameText } from "./text.ts";
import { type VmSetup, vmSetup } from "./vm-setup.ts";

/** Bytes, or a number with K, M, G or T (powers of 1024). */
export const sizeText = z
  .union([
    z.number().int().min(1),
    z.string().regex(/^[1-9]\d{0,11}[KMGT]?$/, "must be a size above zero: bytes, or a whole number with K, M, G or T, such as 512M"),
  ])
  .transform((size) => (typeof size === "number" ? size : bytesOf(size)));

export const diskFormat = z.enum(["qcow2", "raw"]);
export type DiskFormat = z.output<typeof diskFormat>;

/** A further disk. The guest finds it as /dev/disk/by-id/virtio-<name>, whatever its order. */
export const vmDisk = z.strictObject({
  /** At most 20 bytes: that is all a virtio serial number holds. */
  name: nameText.refine((name) => name.length <= 20, "a disk's name has at most 20 characters"),
  /** A file or a block device of the host, or a volume by its name. */
  source: volumeSource,
  format: diskFormat.default("qcow2"),
  readOnly: z.boolean().default(false),
  /** Makes an absent file of this size; one that is there is left as it is. */
  size: sizeText.optional(),
});
export type VmDisk = z.output<typeof vmDisk>;

/** By what a guest mounts directories of the host; its kernel must know it. */
export type ShareType = "9p" | "virtiofs";

/** A directory of the host: the guest mounts its `name`, by virtiofs where that works and 9p elsewhere. */
export const vmShare = z.strictObject({
  name: nameText.refine((name) => name.length <= 31, "a share's name has at most 31 characters"),
  source: absolutePath,
  readOnly: z.boolean().default(false),
});
export type VmShare = z.output<typeof vmShare>;

/** A network to attach to, as for nodes, and the MAC address when it is not to be made from names. */
export const vmNetwork = networkRef.extend({
  mac: macText.refine(isUnicastMac, "a card cannot have the MAC address of a group, nor none").optional(),
});
export type VmNetwork = z.output<typeof vmNetwork>;

/** What a user asks of a virtual machine. */
export const vmSpec = z
  .strictObject({
    name: nameText,
    /** `mini` (built from Debian packages), an alias, a URL, or a disk file. */
    image: z.string().min(1).max(2048).default("mini"),
    cpus: z.number().int().min(1).max(255).default(1),
    /** MiB. */
    mem: z
      .number()
      .int()
      .min(64)
      .max(16 * 1024 * 1024)
      .default(512),
    /** The root disk grows to this; it never shrinks. */
    disk: sizeText.optional(),
    disks: z.array(vmDisk).max(16).default([]),
    shares: z.array(vmShare).max(16).default([]),
    /** Empty or absent means user mode: outgoing connections only, and `publish` carried by the virtual machine's own process. */
    networks: z.array(vmNetwork).max(16).default([]),
    publish: z.array(publishSpec).max(1024).default([]),
    /** The host port forwarded to the guest's SSH in user mode; by default the first free one from 2222. */
    sshPort: z.number().int().min(1).max(65535).optional(),
    /** Queues of each network card; more than one makes its tap multi-queue. */
    queues: z.number().int().min(1).max(256).default(1),
    machine: z.enum(["q35", "microvm"]).default("q35"),
    uefi: z.boolean().default(false),
    /** "auto" takes KVM when a trial guest boots with it, and emulation otherwise. */
    accel: z.enum(["auto", "kvm", "tcg"]).default("auto"),
    /** Boots this kernel instead of the image's own. */
    kernel: absolutePath.optional(),
    initrd: absolutePath.optional(),
    /** Words added to the kernel's command line; needs `kernel`, or an image that brings one. */
    cmdline: z
      .string()
      .max(1024)
      .regex(/^[\x20-\x7e]*$/, "a kernel command line is plain ASCII")
      .optional(),
    env: z.record(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/), z.string().max(131072)).default({}),
    restart: restartPolicy.default("no"),
    hostname: nameText.optional(),
    dns: z.array(ipText).max(3).optional(),
    /** Further names it has in DNS on each of its networks. */
    aliases: z.array(nameText).max(32).default([]),
    health: healthSpec.optional(),
    setup: vmSetup.optional(),
    labels: labelSet.default({}),
  })
  .superRefine((vm, context) => {
    const twice = (path: "disks" | "shares"): void => {
      const names = vm[path].map((one) => one.name);
      names.forEach((name, i) => {
        if (names.indexOf(name) !== i) context.addIssue({ code: "custom", path: [path, i, "name"], message: `"${name}" is there twice` });
      });
    };
    twice("disks");
    twice("shares");
    vm.disks.forEach(({ name }, i) => {
      if (ownDisks.includes(name))
        context.addIssue({ code: "custom", path: ["disks", i, "name"], message: `"${name}" is the name of a disk of Nexus itself` });
    });
    if (vm.setup !== undefined) checkSetup(vm.setup, vm, context);
    if (vm.initrd !== undefined && vm.kernel === undefined)
      context.addIssue({ code: "custom", path: ["initrd"], message: "an initrd needs a kernel beside it" });
    if (vm.machine === "microvm" && vm.uefi)
      context.addIssue({ code: "custom", path: ["uefi"], message: "a microvm has no UEFI firmware; use machine q35" });
    if (vm.sshPort !== undefined && vm.networks.length > 0)
      context.addIssue({ code: "custom", path: ["sshPort"], message: "only user mode forwards SSH; on a network use its address" });
  });

export type VmSpecInput = z.input<typeof vmSpec>;
export type VmSpec = z.output<typeof vmSpec>;

/** What may change while a virtual machine runs. */
export const vmChange = z.strictObject({
  /** MiB the balloon leaves to the guest; at most what it was started with. */
  mem: z.number().int().min(64).optional(),
});
export type VmChange = z.output<typeof vmChange>;

function checkSetup(
  setup: VmSetup,
  vm: { image: string; disks: readonly VmDisk[]; shares: readonly VmShare[] },
  context: z.core.$RefinementCtx<unknown>,
): void {
  const fault = (path: PropertyKey[], message: string): void => context.addIssue({ code: "custom", path: ["setup", ...path], message });
  setup.mounts.forEach(({ from }, i) => {
    const known = "disk" in from ? vm.disks.some(({ name }) => name === from.disk) : vm.shares.some(({ name }) => name === from.share);
    if (!known) fault(["mounts", i, "from"], `the machine has no ${"disk" in from ? `disk ${from.disk}` : `share ${from.share}`}`);
  });
  if (vm.image !== "mini") return;
  if (setup.userData !== undefined) fault(["userData"], "mini has no cloud-init: take an image that has, or a script");
  if (setup.packages.length > 0) fault(["packages"], "mini has no packages: take an image that has");
}

function bytesOf(text: string): number {
  const unit = "KMGT".indexOf(text.at(-1) ?? "") + 1;
  return Number.parseInt(text, 10) * 1024 ** unit;
}
