import type { Name } from "../../base/names.ts";
import type { GuestPart, Surroundings } from "./build-guest.ts";
import { buildNetworks } from "./build-networks.ts";
import { buildNode, defaultNetwork } from "./build-node.ts";
import { buildSandbox } from "./build-sandbox.ts";
import { buildVm } from "./build-vm.ts";
import { buildVolumes } from "./build-volumes.ts";
import { checkAddresses } from "./check-addresses.ts";
import { checkDependencies } from "./check-dependencies.ts";
import { checkShared } from "./check-shared.ts";
import type { Context, Part } from "./context.ts";
import { frame } from "./file-schema.ts";
import type { Project, ProjectNode, ProjectSandbox, ProjectVm } from "./project.ts";
import { type Mapping, mapping, placeOf, under } from "./tree.ts";

/** The project of a whole tree. Its faults are told; only without any is it whole. */
export function buildProject(context: Context, tree: Mapping, profiles: ReadonlySet<string>): Project {
  const { faults } = context;
  faults.check(frame, tree, []);
  const parts = (key: string): Map<string, Part> => partsOf(context, tree, key);
  const [vmParts, nodeParts, networkParts, volumeParts] = [parts("vms"), parts("nodes"), parts("networks"), parts("volumes")];
  const sandboxParts = parts("sandboxes");
  if (!networkParts.has(defaultNetwork) && [...nodeParts.values()].some(({ tree: node }) => !node.entries.has("networks")))
    networkParts.set(defaultNetwork, { tree: mapping(tree.at), path: ["networks", defaultNetwork] });
  const networks = buildNetworks(context, networkParts);
  const volumes = buildVolumes(context, volumeParts);
  const around: Surroundings = { networks, networkKeys: [...networkParts.keys()], volumes, volumeKeys: [...volumeParts.keys()], profiles };
  const guestParts = new Map<string, GuestPart>();
  const vms = new Map<Name, ProjectVm>();
  const nodes = new Map<Name, ProjectNode>();
  const sandboxes = new Map<Name, ProjectSandbox>();
  for (const [service, part] of vmParts) {
    const built = buildVm(context, { ...part, service }, around);
    guestParts.set(service, { ...part, service });
    if (built === undefined || vms.has(built.guest.service)) continue;
    vms.set(built.guest.service, built.guest);
    guestParts.set(service, built.part).set(built.guest.service, built.part);
  }
  for (const [service, part] of nodeParts) {
    const built = buildNode(context, { ...part, service }, around);
    if (vmParts.has(service)) {
      faults.add(keyPlace(tree, part), { path: part.path, problem: "a virtual machine of this file has the same name" });
      continue;
    }
    guestParts.set(service, { ...part, service });
    if (built === undefined || nodes.has(built.guest.service)) continue;
    nodes.set(built.guest.service, built.guest);
    guestParts.set(service, built.part).set(built.guest.service, built.part);
  }
  const reached = [...vmParts.keys(), ...nodeParts.keys()].map(
    (key) => [key, { onNetwork: vms.get(key as Name)?.spec.networks.length !== 0 }] as const,
  );
  const guests = new Map(reached);
  for (const [service, part] of sandboxParts) {
    const built = buildSandbox(context, { ...part, service }, { ...around, guests });
    const other = vmParts.has(service) ? "virtual machine" : nodeParts.has(service) ? "node" : undefined;
    if (other !== undefined) {
      faults.add(keyPlace(tree, part), { path: part.path, problem: `a ${other} of this file has the same name` });
      continue;
    }
    guestParts.set(service, { ...part, service });
    if (built === undefined || sandboxes.has(built.guest.service)) continue;
    sandboxes.set(built.guest.service, built.guest);
    guestParts.set(service, built.part).set(built.guest.service, built.part);
  }
  const project: Project = {
    name: context.project,
    directory: context.directory,
    networks: new Map([...networks].map(([key, { network }]) => [key as Name, network])),
    vms,
    nodes,
    sandboxes,
    volumes: new Map([...volumes].map(([key, { volume }]) => [key, volume])),
  };
  checkDependencies(context, project, guestParts);
  checkAddresses(context, project, { parts: guestParts, networks });
  checkShared(context, project, guestParts);
  return project;
}

function partsOf(context: Context, tree: Mapping, key: string): Map<string, Part> {
  const parts = new Map<string, Part>();
  const group = under(tree, key);
  if (group?.kind !== "mapping") return parts;
  for (const [name, { value }] of group.entries) {
    if (value.kind === "mapping") parts.set(name, { tree: value, path: [key, name] });
    else
      context.faults.add(value.at, {
        path: [key, name],
        problem: "must be a mapping",
        hint: `write the keys of ${name} below its name, further in`,
      });
  }
  return parts;
}

function keyPlace(tree: Mapping, { path }: Part) {
  return placeOf(tree, path, true);
}
