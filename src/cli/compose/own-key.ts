import type { VerbContext } from "../context.ts";
import type { Name } from "../../base/names.ts";
import { ownSshKey } from "../ssh/own-keys.ts";
import type { Project, ProjectVm } from "../../spec/compose/project.ts";

/** The project with the caller's key for its directory in every virtual machine that people log in to; made when there is none. */
export function withOwnKey(c: VerbContext, project: Project): Project {
  if (![...project.vms.values()].some(takesKeys)) return project;
  const { publicLine } = ownSshKey(c.io, project.directory);
  const vms = [...project.vms].map(([name, vm]): [Name, ProjectVm] => [name, takesKeys(vm) ? withKey(vm, publicLine) : vm]);
  return { ...project, vms: new Map(vms) };
}

function withKey(vm: ProjectVm, line: string): ProjectVm {
  const { setup } = vm.spec;
  if (setup === undefined) return vm;
  return { ...vm, spec: { ...vm.spec, setup: { ...setup, authorizedKeys: [...setup.authorizedKeys, line] } } };
}

/** mini has no SSH. */
function takesKeys({ active, spec }: ProjectVm): boolean {
  return active && spec.setup !== undefined && spec.image !== "mini";
}
