import { isFinal } from "../run-view.ts";
import type { Action } from "./changes.ts";
import { differencesOf, differenceText } from "./differences.ts";
import { isOurs, type Present, type PresentRun } from "./present.ts";
import type { Project, ProjectSandbox } from "./project.ts";
import { sealsDiffer } from "./sealed.ts";
import type { Name } from "../../base/names.ts";

/** Nothing while its newest run is of this very spec and goes on or has succeeded; otherwise it is run, and what was run before is forgotten. */
export function runChange(project: Project, present: Present, sandbox: ProjectSandbox): Action[] {
  const { name, service } = sandbox;
  const before = runsOf(project, present).filter((run) => run.spec.labels["nexus.service"] === service);
  const [newest] = before;
  const reason = newest === undefined ? undefined : reasonToRunAgain(sandbox, newest);
  if (newest !== undefined && reason === undefined) return [];
  const text = newest === undefined ? `run ${name}` : `run ${name} again: ${reason}`;
  return [{ kind: "create-run", name, sandbox, replaces: before.map(({ id }) => id), text }];
}

/** Of sandboxes that are gone from the file. */
export function orphanRuns(project: Project, present: Present): Action[] {
  const gone = new Map<string, string[]>();
  for (const { id, spec } of runsOf(project, present)) {
    const service = spec.labels["nexus.service"];
    if (service !== undefined && !project.sandboxes.has(service as Name)) gone.set(service, [...(gone.get(service) ?? []), id]);
  }
  return [...gone].map(([service, ids]): Action => {
    const name = `${project.name}-${service}` as Name;
    const reason = "the file has it no more";
    return { kind: "remove-run", name, ids, reason, text: `remove ${name}: ${reason}` };
  });
}

function runsOf(project: Project, present: Present): PresentRun[] {
  return present.runs.filter((run) => isOurs(project, run.spec));
}

function reasonToRunAgain({ spec }: ProjectSandbox, { state, code, spec: is }: PresentRun): string | undefined {
  if (is.labels["nexus.config"] !== spec.labels["nexus.config"] || sealsDiffer(is.labels, spec.labels)) {
    // Of a run's environment only the names are kept.
    const differences = differencesOf({ ...is, env: undefined }, { ...spec, env: undefined });
    return `changed: ${differences.length === 0 ? "environment" : differenceText(differences)}`;
  }
  if (state === "succeeded" || !isFinal(state)) return undefined;
  return `it ended as ${state}${state === "failed" && code !== undefined ? ` (exit code ${code})` : ""}`;
}
