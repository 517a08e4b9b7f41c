import { setTimeout as delay } from "node:timers/promises";
import { since } from "../figures.ts";
import type { Client } from "../../api/client.ts";
import { NexusError } from "../../base/errors.ts";
import type { Condition } from "../../spec/compose/guest-schema.ts";
import { isOurs } from "../../spec/compose/present.ts";
import type { Project, ProjectSandbox } from "../../spec/compose/project.ts";
import { isFinal, type RunView } from "../../spec/run-view.ts";

/** Every run that is kept, the newest first. */
export function allRuns(client: Client): Promise<RunView[]> {
  return client.call("run.list", { query: { limit: 10_000 } });
}

/** The newest run of each sandbox of a project, by its directory, and its name where one is said. */
export function newestRuns(runs: readonly RunView[], { directory, name }: { directory: string; name?: string | undefined }): RunView[] {
  const newest = new Map<string, RunView>();
  for (const run of runs) {
    const { labels } = run.spec;
    const service = labels["nexus.service"];
    if (service === undefined || labels["nexus.directory"] !== directory) continue;
    if (name !== undefined && labels["nexus.project"] !== name) continue;
    const whole = runName(run);
    if (!newest.has(whole)) newest.set(whole, run);
  }
  return [...newest.values()];
}

/** What the file calls it. */
export function runService({ spec }: RunView): string {
  return spec.labels["nexus.service"] ?? "";
}

/** PROJECT-SERVICE. */
export function runName({ spec }: RunView): string {
  return `${spec.labels["nexus.project"]}-${spec.labels["nexus.service"]}`;
}

/** `running 5m`, `failed (3) 2s ago`. */
export function runStateText({ state, code, startedAt, endedAt }: RunView): string {
  if (!isFinal(state)) return startedAt === undefined ? state : `${state} ${since(startedAt)}`;
  return `${state}${code === undefined ? "" : ` (${code})`}${endedAt === undefined ? "" : ` ${since(endedAt)} ago`}`;
}

/** As guestLine. */
export function runLine(run: RunView): string {
  return `${runName(run)}  ${runStateText(run)}  run ${run.id}\n`;
}

/** Ends what goes on of them, and forgets them all. */
export async function forgetRuns(client: Client, ids: readonly string[]): Promise<void> {
  for (const id of ids) {
    try {
      await client.call("run.cancel", { params: { id } });
      await client.call("run.remove", { params: { id } });
    } catch (error) {
      // What is kept of runs goes by itself too.
      if (!(error instanceof NexusError) || error.code !== "not-found") throw error;
    }
  }
}

/** Waits until a sandbox's newest run is what others need it to be. @throws NexusError wrong-state when it cannot become so any more, timeout; the signal's reason */
export async function untilRun(
  client: Client,
  { project, sandbox, condition, patienceMs }: { project: Project; sandbox: ProjectSandbox; condition: Condition; patienceMs: number },
  signal: AbortSignal,
): Promise<void> {
  const { name, service } = sandbox;
  const end = performance.now() + patienceMs;
  const found = (await allRuns(client)).find(({ spec }) => isOurs(project, spec) && spec.labels["nexus.service"] === service);
  if (found === undefined) throw new NexusError("wrong-state", `${name} has not been run`, { hint: `run it: nexus up ${service}` });
  for (;;) {
    signal.throwIfAborted();
    const run = await client.call("run.get", { params: { id: found.id }, query: { wait: condition === "completed" ? 1 : 0 } }, { signal });
    if (run.state === "succeeded" || (condition === "started" && run.state !== "starting" && run.state !== "refused")) return;
    const hint = `nexus logs ${service} shows what it wrote`;
    if (isFinal(run.state)) throw new NexusError("wrong-state", `${name} will not be ${condition}: it is ${endText(run)}`, { hint });
    if (performance.now() > end)
      throw new NexusError("timeout", `${name} is not ${condition} after ${Math.round(patienceMs / 1000)} s: it is ${run.state}`, { hint });
    await delay(25, undefined, { signal });
  }
}

function endText({ state, code, message }: RunView): string {
  return `${state}${code === undefined ? "" : ` with exit code ${code}`}${message === undefined ? "" : `: ${message}`}`;
}
