import { setTimeout as delay } from "node:timers/promises";
import type { Client } from "../../api/client.ts";
import { NexusError } from "../../base/errors.ts";
import { activeGuests, activeSandboxes, type Project, type ProjectGuest } from "../../spec/compose/project.ts";
import { untilCondition } from "./conditions.ts";
import { untilRun } from "./sandboxes.ts";

type Patience = { patienceMs: number; signal: AbortSignal; say: (line: string) => void };

/**
 * Until every guest does what it is for: healthy where that is asked about, set up and answering its agent where it is a virtual
 * machine, and otherwise running, or done; and until every sandbox has succeeded. @throws NexusError timeout, wrong-state
 */
export async function untilReady(client: Client, project: Project, patience: Patience): Promise<void> {
  const { patienceMs, signal, say } = patience;
  await Promise.all([
    ...activeGuests(project).map((guest) => becomesReady(client, guest, patience)),
    ...activeSandboxes(project).map(async (sandbox) => {
      await untilRun(client, { project, sandbox, condition: "completed", patienceMs }, signal);
      say(`✓ ${sandbox.name} has succeeded`);
    }),
  ]);
}

async function becomesReady(client: Client, guest: ProjectGuest, { patienceMs, signal, say }: Patience): Promise<void> {
  const { name } = guest.spec;
  if (guest.healthcheck !== undefined) await untilCondition(client, { name, condition: "healthy", patienceMs }, signal);
  else {
    await untilCondition(client, { name, condition: "started", patienceMs }, signal);
    if (guest.kind === "vm" && guest.spec.setup?.agent !== false) await untilAgentAnswers(client, name, { patienceMs, signal });
  }
  say(`✓ ${name} is ready`);
}

/** A booting guest has no agent yet; each try waits for it by itself. */
async function untilAgentAnswers(client: Client, name: string, { patienceMs, signal }: Omit<Patience, "say">): Promise<void> {
  const end = performance.now() + patienceMs;
  for (;;) {
    signal.throwIfAborted();
    try {
      const call = await client.exec("guest.exec", name, { command: ["true"] });
      void call.send({ kind: "stdin-end" });
      await call.finish(() => {});
      return;
    } catch (error) {
      if (!(error instanceof NexusError) || error.code !== "timeout" || performance.now() > end) throw error;
    }
    await delay(100, undefined, { signal });
  }
}
