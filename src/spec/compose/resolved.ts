import { stringify } from "yaml";
import type { Name } from "../../base/names.ts";
import type { LabelSet } from "../labels.ts";
import type { NetworkSpec } from "../network.ts";
import type { PublishSpec } from "../node.ts";
import type { HealthSpec } from "../health.ts";
import { present } from "./context.ts";
import type { Project, ProjectGuest, ProjectNode, ProjectSandbox, ProjectVm } from "./project.ts";
import { type VmMount, vmSetup } from "../vm-setup.ts";

/**
 * The project as a compose file with nothing left to look up: files, variables, `extends` and overrides are in it, every default is written
 * out. Loading it gives the same project. Environments are shown as they are.
 */
export function resolvedText(project: Project): string {
  const { networks, volumes, vms, nodes, sandboxes } = project;
  const file = {
    name: project.name,
    ...group("vms", new Map([...vms].map(([name, vm]) => [name, vmOf(project, vm)]))),
    ...group("nodes", new Map([...nodes].map(([name, node]) => [name, nodeOf(project, node)]))),
    ...group("sandboxes", new Map([...sandboxes].map(([name, sandbox]) => [name, sandboxOf(sandbox)]))),
    ...group(
      "networks",
      new Map(
        [...networks].map(([key, { name, spec }]) => [key, spec === undefined ? { name, external: true } : networkOf(project, spec)]),
      ),
    ),
    ...group("volumes", new Map([...volumes].map(([key, { name, external, sizeBytes }]) => [key, { name, external, size: sizeBytes }]))),
  };
  return stringify(doubled(file), { lineWidth: 120, aliasDuplicateObjects: false });
}

function group(key: string, members: ReadonlyMap<string, unknown>): Record<string, unknown> {
  return members.size === 0 ? {} : { [key]: Object.fromEntries(members) };
}

/** Every dollar sign twice: variables are put in already. */
function doubled(value: unknown): unknown {
  if (typeof value === "string") return value.replaceAll("$", "$$$$");
  if (Array.isArray(value)) return value.map(doubled);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, doubled(inner)]));
}

function networkOf(project: Project, spec: NetworkSpec): object {
  const { name, bridge, subnets, ipv6, mtu, dns, nat, isolation, internal, dhcp, peers, labels } = spec;
  const keys = peers.map((peer) => [...project.networks].find(([, other]) => other.name === peer)?.[0] ?? peer);
  return present({ name, bridge, subnets, ipv6, mtu, dns, nat, isolation, internal, dhcp, peers: keys, labels: ownLabels(labels) });
}

function sharedOf(project: Project, guest: ProjectGuest) {
  const { spec, service, dependsOn, healthcheck, stopGraceMs, profiles } = guest;
  return {
    image: spec.image,
    hostname: spec.hostname,
    ...present({
      memory: spec.mem,
      cpus: spec.cpus,
      dns: spec.dns,
      stop_grace_period: stopGraceMs === undefined ? undefined : `${stopGraceMs}ms`,
    }),
    restart: spec.restart,
    environment: spec.env,
    networks: networksOf(project, guest),
    ports: spec.publish.map(portOf),
    depends_on: Object.fromEntries(dependsOn),
    ...(healthcheck === undefined ? {} : { healthcheck: healthOf(healthcheck) }),
    profiles,
    aliases: spec.aliases.filter((alias) => alias !== service),
    labels: ownLabels(spec.labels),
  };
}

function nodeOf(project: Project, node: ProjectNode): object {
  const { command, cpu, pids, volumes, tmpfs = [] } = node.spec;
  return {
    ...sharedOf(project, node),
    command,
    ...present({ cpu, pids }),
    volumes: [
      ...volumes.map(({ source, target, readOnly }) =>
        source.startsWith("/")
          ? { type: "bind", source, target, read_only: readOnly }
          : { type: "volume", source: volumeKey(project, source), target, read_only: readOnly },
      ),
      ...tmpfs.map(({ target, readOnly, ...rest }) => ({ type: "tmpfs", target, read_only: readOnly, tmpfs: present(rest) })),
    ],
  };
}

const nothing = vmSetup.parse({});

function vmOf(project: Project, vm: ProjectVm): object {
  const { disk, queues, machine, uefi, accel, kernel, initrd, cmdline, sshPort } = vm.spec;
  const { userData, packages, authorizedKeys, provision, user } = vm.spec.setup ?? nothing;
  const ssh = present({ user, port: sshPort });
  return {
    ...sharedOf(project, vm),
    ...present({ disk, kernel, initrd, cmdline }),
    queues,
    machine,
    uefi,
    accel,
    volumes: volumesOf(project, vm),
    provision: provision.map((step) =>
      step.kind === "shell"
        ? { type: "shell", inline: step.script }
        : { type: "file", target: step.target, content: step.content, mode: step.mode },
    ),
    cloud_init: present({ user_data: userData, packages, ssh_keys: authorizedKeys }),
    ...(Object.keys(ssh).length === 0 ? {} : { ssh }),
  };
}

function sandboxOf({ spec, dependsOn, profiles }: ProjectSandbox): object {
  const { command, profile, driver, image, rootfs, net, facility, cwd } = spec;
  const { env, timeoutMs, graceMs, mem, cpus, pids, disk, outputLimit, labels } = spec;
  return {
    command,
    profile,
    ...present({ driver, image, rootfs, net: net.mode, facility, cwd }),
    allow: net.allow,
    environment: env,
    timeout: `${timeoutMs}ms`,
    stop_grace_period: `${graceMs}ms`,
    memory: mem,
    cpus,
    pids,
    disk,
    output_limit: outputLimit,
    depends_on: Object.fromEntries(dependsOn),
    profiles,
    labels: ownLabels(labels),
  };
}

function networksOf(project: Project, guest: ProjectGuest): Record<string, object> {
  const keys = new Map([...project.networks].map(([key, { name }]) => [name, key]));
  return Object.fromEntries((guest.spec.networks ?? []).map(({ network, ...rest }) => [keys.get(network) ?? network, present(rest)]));
}

function portOf({ protocol, hostAddress, hostPort, hostPortEnd, guestPort }: PublishSpec): object {
  const width = (hostPortEnd ?? hostPort) - hostPort;
  const span = (first: number): string => (width === 0 ? `${first}` : `${first}-${first + width}`);
  return { ...present({ host_ip: hostAddress }), published: span(hostPort), target: span(guestPort), protocol };
}

function healthOf({ probe, intervalMs, timeoutMs, retries, startPeriodMs }: HealthSpec): object {
  const times = { interval: `${intervalMs}ms`, timeout: `${timeoutMs}ms`, retries, start_period: `${startPeriodMs}ms` };
  switch (probe.kind) {
    case "exec":
      return { test: ["CMD", ...probe.command], ...times };
    case "shell":
      return { test: ["CMD-SHELL", probe.script], ...times };
    case "http":
      return { http: { port: probe.port, path: probe.path }, ...times };
    case "tcp":
      return { tcp: probe.port, ...times };
  }
}

/** Disks and shares in an order that makes them and their mounts again as they are. */
function volumesOf(project: Project, { spec }: ProjectVm): object[] {
  const { mounts } = spec.setup ?? nothing;
  const written: object[] = [];
  const disks = spec.disks.map((disk) => ({ disk, mount: mounts.find(({ from }) => "disk" in from && from.disk === disk.name) }));
  const shares = spec.shares.map((share) => ({ share, mount: mounts.find(({ from }) => "share" in from && from.share === share.name) }));
  // One that is not mounted goes before what follows it in its list.
  const upTo = (mount: VmMount | undefined): void => {
    const from = mount?.from;
    if (from === undefined || "disk" in from) {
      for (let next = disks.shift(); next !== undefined; next = disks.shift()) {
        written.push({ ...diskOf(project, next.disk), ...mountOf(next.mount) });
        if (next.disk.name === from?.disk) return;
      }
    }
    if (from === undefined || "share" in from) {
      for (let next = shares.shift(); next !== undefined; next = shares.shift()) {
        const { name, source, readOnly } = next.share;
        // A share's name is made from where it is mounted.
        written.push({
          type: "bind",
          source,
          read_only: readOnly,
          ...(next.mount === undefined ? { target: `/${name}`, automount: false } : mountOf(next.mount)),
        });
        if (next.share.name === from?.share) return;
      }
    }
  };
  for (const mount of mounts) upTo(mount);
  upTo(undefined);
  return written;
}

function diskOf(project: Project, { source, format, readOnly, name }: ProjectVm["spec"]["disks"][number]): object {
  if (source.startsWith("/")) return { type: "disk", source, format, read_only: readOnly };
  return { type: "volume", source: volumeKey(project, source), read_only: readOnly, target: `/${name}`, automount: false };
}

function mountOf(mount: VmMount | undefined): object {
  return mount === undefined ? {} : { target: mount.target, automount: true, ...present({ mount_options: mount.options }) };
}

function volumeKey(project: Project, name: string): string {
  return [...project.volumes].find(([, volume]) => volume.name === (name as Name))?.[0] ?? name;
}

function ownLabels(labels: LabelSet): LabelSet {
  return Object.fromEntries(Object.entries(labels).filter(([key]) => !key.startsWith("nexus.")));
}
