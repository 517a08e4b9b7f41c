import { createHash, createHmac } from "node:crypto";
import type { Name } from "../../base/names.ts";
import type { LabelSet } from "../labels.ts";
import { canonical } from "./names.ts";
import type { Project, ProjectSandbox } from "./project.ts";

const label = "nexus.environment";

/**
 * The project with a label on every sandbox that has an environment, by which a change of its values is seen. Everybody may read a run's
 * labels, and most secrets are few enough to be tried one by one: so it is made with a key.
 */
export function withSealedEnvironments(project: Project, key: Uint8Array): Project {
  const whose = createHash("sha256").update(key).digest("hex").slice(0, 8);
  const seal = ({ service, spec }: ProjectSandbox): LabelSet => {
    const text = canonical({ directory: project.directory, project: project.name, service, env: spec.env });
    return { ...spec.labels, [label]: `${whose}:${createHmac("sha256", key).update(text).digest("hex")}` };
  };
  const sealed = [...project.sandboxes].map(([name, sandbox]): [Name, ProjectSandbox] => [
    name,
    hasEnvironment(sandbox) ? { ...sandbox, spec: { ...sandbox.spec, labels: seal(sandbox) } } : sandbox,
  ]);
  return { ...project, sandboxes: new Map(sealed) };
}

export function hasEnvironment({ spec }: ProjectSandbox): boolean {
  return Object.keys(spec.env).length > 0;
}

/** Whether values have changed, as far as can be known: what another user sealed says nothing. */
export function sealsDiffer(is: Readonly<LabelSet>, wanted: Readonly<LabelSet>): boolean {
  const [before = "", now = ""] = [is[label], wanted[label]];
  return before.split(":")[0] === now.split(":")[0] && before !== now;
}
