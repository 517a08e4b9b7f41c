import type { VerbContext } from "../context.ts";
import { columns } from "../tables.ts";
import type { Answer } from "../../api/contract.ts";
import { NexusError } from "../../base/errors.ts";
import { formatDiagnosis } from "../../spec/diagnosis.ts";

/** With a file, what applying it would do, or `up` with a compose file; without, what a reconcile would repair. */
export async function plan(c: VerbContext): Promise<void> {
  const file = c.arg("FILE");
  if (/compose[^/]*\.ya?ml$/.test(file)) return await composePlan(c, file);
  const body = file === "" ? undefined : await (await import("../plan-file.ts")).readPlanFile(file, c.io);
  const client = await c.client();
  const answer = body === undefined ? await client.call("plan.pending") : await client.call("plan.preview", { body });
  c.out.result(answer, () => (answer.steps.length === 0 ? "nothing would change\n" : `${answer.steps.join("\n")}\n`));
}

async function composePlan(c: VerbContext, file: string): Promise<void> {
  const { openProject } = await import("../compose/open.ts");
  const { planLines } = await import("../compose/plan.ts");
  const { sealed } = await import("../compose/sealed.ts");
  const project = sealed(c, openProject(c, { files: [file] }));
  const steps = await planLines(await c.client(), project);
  c.out.result({ steps }, () => (steps.length === 0 ? "nothing would change\n" : `${steps.join("\n")}\n`));
}

export async function reconcile(c: VerbContext): Promise<void> {
  const answer = await (await c.client()).call("reconcile");
  c.out.result(answer, () => (answer.steps.length === 0 ? "nothing differed\n" : `${answer.steps.join("\n")}\n`));
}

export async function events(c: VerbContext): Promise<void> {
  const follow = c.flags.on("follow");
  const signal = follow ? c.interrupted() : undefined;
  const query = { follow, ...(c.flags.text("since") === undefined ? {} : { since: c.flags.number("since", "whole") ?? 0 }) };
  const client = await c.client();
  try {
    for await (const event of await client.events("event.list", { query }, signal === undefined ? {} : { signal })) {
      c.out.item(event, () => columns([[event.at, String(event.id), event.kind, event.subject, event.message]]));
    }
  } catch (error) {
    if (signal?.aborted !== true) throw error;
  }
}

/** Asks the daemon when one runs; without one, or to mend things, this process looks itself. Ends with 1 when something needed is broken. */
export async function doctor(c: VerbContext): Promise<number> {
  const fix = c.flags.on("fix");
  const report = fix ? undefined : await askedOfDaemon(c);
  if (report === undefined) {
    const { runDaemon } = await import("../../daemon/main.ts");
    return await runDaemon({ doctor: true, fix, json: c.out.json, socketPath: c.socketPath });
  }
  c.out.result(report, () => formatDiagnosis(report));
  return report.ok ? 0 : 1;
}

async function askedOfDaemon(c: VerbContext): Promise<Answer<"doctor"> | undefined> {
  try {
    return await (await c.runningClient()).call("doctor");
  } catch (error) {
    if (error instanceof NexusError && (error.code === "daemon-unreachable" || error.code === "not-permitted")) return undefined;
    throw error;
  }
}
