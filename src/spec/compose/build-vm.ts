import { vmSpec } from "../vm.ts";
import type { ProvisionStep, VmMount } from "../vm-setup.ts";
import {
  type Built,
  aliasesOf,
  attachmentsOf,
  guestLabels,
  guestName,
  type GuestPart,
  sharedParts,
  type Surroundings,
  finishedSpec,
} from "./build-guest.ts";
import { type Context, hostPath, partFault, partPlace, present, textOf } from "./context.ts";
import { type ProvisionWish, type VmEntry, vmEntry } from "./guest-schema.ts";
import { hashed } from "./hash.ts";
import type { ProjectVm } from "./project.ts";
import { vmVolumes } from "./vm-volumes.ts";

const writtenAs = {
  env: ["environment"],
  mem: ["memory"],
  health: ["healthcheck"],
  publish: ["ports"],
  disks: ["volumes"],
  shares: ["volumes"],
  sshPort: ["ssh", "port"],
  "setup.user": ["ssh", "user"],
  "setup.authorizedKeys": ["cloud_init", "ssh_keys"],
  "setup.packages": ["cloud_init", "packages"],
  "setup.userData": ["user_data"],
  "setup.provision": ["provision"],
  "setup.mounts": ["volumes"],
};

/** A virtual machine of the project, or undefined with its faults told. */
export function buildVm(context: Context, given: GuestPart, around: Surroundings): Built<ProjectVm> | undefined {
  const names = guestName(context, given);
  const checked = context.faults.check(vmEntry, given.tree, given.path);
  if (checked === undefined) return undefined;
  const entry = checked.value;
  const part = { ...given, tree: checked.tree };
  const { env, ...rest } = sharedParts(context, part, entry, around);
  const networks = attachmentsOf(context, part, { wishes: entry.networks ?? {}, around }).map(({ network, wish }) => ({
    network,
    ...present({ address: wish.address, address6: wish.address6, mac: wish.mac, egress: wish.egress }),
  }));
  const { disks, shares, mounts } = vmVolumes(context, part, { wishes: entry.volumes, around });
  const file = (at: "image" | "kernel" | "initrd", path: string | undefined) =>
    path === undefined ? undefined : hostPath(context, path, partPlace(part, [at]).source);
  const { machine, uefi, accel, cmdline, dns } = entry;
  const spec = {
    name: names.name,
    image: /^(\.\.?|~)?\//.test(entry.image) ? file("image", entry.image) : entry.image,
    disks,
    shares,
    networks,
    publish: entry.ports,
    queues: queuesOf(context, part, entry),
    machine,
    uefi,
    accel,
    env,
    restart: entry.restart ?? "no",
    hostname: entry.hostname ?? names.service,
    aliases: aliasesOf(names.service, entry),
    ...present({
      health: entry.healthcheck,
      cpus: entry.cpus,
      mem: entry.memory,
      disk: typeof entry.disk === "object" ? entry.disk.size : entry.disk,
      sshPort: entry.ssh?.port,
      kernel: file("kernel", entry.kernel),
      initrd: file("initrd", entry.initrd),
      cmdline,
      dns,
    }),
  };
  const setup = setupOf(context, part, { entry, mounts });
  const labels = guestLabels(context, names.service, entry.labels);
  const finished = finishedSpec(context, part, { schema: vmSpec, spec: { ...spec, ...present({ setup }), labels }, writtenAs });
  if (finished === undefined) return undefined;
  return { part, guest: { kind: "vm", service: names.service, spec: hashed(finished), ...rest } };
}

/** All cards of a machine have the same number of queues. */
function queuesOf(context: Context, part: GuestPart, entry: VmEntry): number {
  const asked = Object.entries(entry.networks ?? {}).flatMap(([key, { queues }]) => (queues === undefined ? [] : [{ key, queues }]));
  const queues = entry.queues ?? asked[0]?.queues ?? 1;
  for (const one of asked)
    if (one.queues !== queues)
      partFault(context, part, {
        at: ["networks", one.key, "queues"],
        problem: `all network cards of a machine have the same number of queues, here ${queues}`,
      });
  return queues;
}

function provisionOf(context: Context, part: GuestPart, entry: VmEntry): ProvisionStep[] {
  return entry.provision.flatMap((wish, i): ProvisionStep[] => {
    const text = textOfStep(context, part, { wish, i });
    if (text === undefined) return [];
    return [
      wish.kind === "shell" ? { kind: "shell", script: text } : { kind: "file", target: wish.target, content: text, mode: wish.mode },
    ];
  });
}

function textOfStep(context: Context, part: GuestPart, { wish, i }: { wish: ProvisionWish; i: number }): string | undefined {
  if ("script" in wish) return wish.script;
  if ("content" in wish) return wish.content;
  const key = ["script", "source", "path"].find((name) => {
    const step = part.tree.entries.get("provision")?.value;
    const item = step?.kind === "list" ? step.items[i] : undefined;
    return item?.kind === "mapping" && item.entries.has(name);
  });
  return textOf(context, part, { at: ["provision", i, key ?? "path"], path: wish.from });
}

/** Undefined for a `mini` that nothing is asked of: what has cloud-init is told its name and whose keys it has in any case. */
function setupOf(context: Context, part: GuestPart, { entry, mounts }: { entry: VmEntry; mounts: VmMount[] }): object | undefined {
  const provision = provisionOf(context, part, entry);
  const { userData, packages, sshKeys: authorizedKeys } = cloudInitOf(context, part, entry);
  const asked = mounts.length + provision.length + packages.length + authorizedKeys.length > 0 || userData !== undefined;
  const user = entry.ssh?.user;
  if (entry.image === "mini" && !asked && user === undefined) return undefined;
  return { authorizedKeys, packages, provision, mounts, ...present({ user, userData }) };
}

/** User data on the spot has a line break or begins with `#`; anything else names a file. */
function cloudInitOf(
  context: Context,
  part: GuestPart,
  entry: VmEntry,
): { userData?: string | undefined; packages: string[]; sshKeys: string[] } {
  const { user_data: inner, packages = [], ssh_keys: sshKeys = [] } = entry.cloud_init ?? {};
  if (inner !== undefined && entry.user_data !== undefined)
    partFault(context, part, { at: ["user_data"], onKey: true, problem: "says the same as cloud_init.user_data, which is given too" });
  const given = inner ?? entry.user_data;
  if (given === undefined) return { packages, sshKeys };
  const at = inner === undefined ? ["user_data"] : ["cloud_init", "user_data"];
  const read = /^#|\n/.test(given) ? given : textOf(context, part, { at, path: given });
  const userData = read === undefined || /^#|\n/.test(read) ? read : `${read}\n`;
  return { ...present({ userData }), packages, sshKeys };
}
